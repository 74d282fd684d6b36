import { once } from 'node:events'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { services } from '../services.ts'
import { startChild } from './harness/child.ts'
import { serviceNames } from './harness/each-service.ts'
import { listeningUrl } from './harness/service-process.ts'

const NATS_URL = 'nats://127.0.0.1:1'
const DATA_DIR = join(tmpdir(), 'command-line-test')

/** Runs a service until it exits. */
async function run(service: string, args: string[], env: Record<string, string> = {}) {
  await using child = startChild(process.execPath, [`${service}/main.ts`, ...args], {
    env: { NATS_URL, DATA_DIR, ...env },
  })
  return { status: await child.ended, lines: child.lines }
}

describe.each(serviceNames)('%s', { concurrent: true }, (service) => {
  test('exits with status 2 and one line about an unknown flag', async () => {
    const { status, lines } = await run(service, ['--colour'])
    expect(status).toBe(2)
    expect(lines).toEqual([expect.stringMatching(new RegExp(`^${service}: .*--colour`))])
  })

  test('exits with status 2 and one line about an invalid port', async () => {
    const { status, lines } = await run(service, ['--port', 'http'])
    expect(status).toBe(2)
    expect(lines).toEqual([`${service}: PORT is "http": it must be a port, 0 to 65535`])
  })

  test('exits with status 2 and one line about an invalid variable', async () => {
    const { status, lines } = await run(service, [], { LOG_LEVEL: 'loud' })
    expect(status).toBe(2)
    expect(lines).toEqual([expect.stringContaining('LOG_LEVEL is "loud"')])
  })

  test('lists its settings with --help', async () => {
    const { status, lines } = await run(service, ['--help'])
    expect(status).toBe(0)
    expect(lines.join('\n')).toMatch(new RegExp(`--port, PORT .*\\(default: ${services[service].port}\\)`))
    expect(lines.join('\n')).toContain('--host, HOST')
  })

  test('prints one line about a port in use, and exits with status 1', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const { status, lines } = await run(service, ['--port', String(port)], { LOG_LEVEL: 'silent' })
    server.close()
    expect(status).toBe(1)
    expect(lines).toEqual([`${service}: port ${port} on 127.0.0.1 is already in use`])
  })
})

test.concurrent.each(['0s', '300ms', '0.999s'])('reporting refuses a MAX_LAG below one second: %s', async (MAX_LAG) => {
  const { status, lines } = await run('reporting', [], { MAX_LAG })
  expect(status).toBe(2)
  expect(lines).toEqual([`reporting: MAX_LAG is "${MAX_LAG}": it must be at least 1s`])
})

test.concurrent('play refuses to share a port that the operating system chooses', async () => {
  const { status, lines } = await run('play', ['--port', '0'], { REUSE_PORT: '1' })
  expect(status).toBe(2)
  expect(lines).toEqual(['play: PORT is "0": with REUSE_PORT, it must be the port to share'])
})

test.concurrent.each(['play', 'queue-listener'])('%s requires NATS_URL', async (service) => {
  const { status, lines } = await run(service, [], { NATS_URL: '' })
  expect(status).toBe(2)
  expect(lines).toEqual([expect.stringMatching(/^.*: NATS_URL is not set: it must be NATS servers/)])
})

describe.each(['metadata', 'cdnurl', 'reporting'])('%s beyond loopback', { concurrent: true }, (service) => {
  const beyond = { HOST: '0.0.0.0', PORT: '0', CHECKPOINT_EVERY: '0s' }

  test('by default, does not start without a write token', async () => {
    const { status, lines } = await run(service, [], beyond)
    expect(status).toBe(2)
    expect(lines).toEqual([
      expect.stringMatching(/^\w+: HOST is "0\.0\.0\.0": .*set WRITE_TOKEN, or ALLOW_OPEN_WRITES=1/),
    ])
  })

  test.each([
    [{ ALLOW_OPEN_WRITES: '1' }, 1],
    [{ WRITE_TOKEN: 'a-secret-of-enough' }, 0],
  ])('starts with %j', async (env, warnings) => {
    await using child = startChild(process.execPath, [`${service}/main.ts`], { env: { ...beyond, ...env } })
    await child.line(listeningUrl)
    expect(child.lines.filter((line) => line.includes('beyond loopback without a WRITE_TOKEN'))).toHaveLength(warnings)
    expect(child.lines.join()).not.toContain('secret')
  })
})

test.concurrent.each(['play', 'queue-listener'])(
  '%s warns if it listens beyond loopback without a token',
  async (service) => {
    for (const [WRITE_TOKEN, warnings] of [
      ['', 1],
      ['a-secret-of-enough', 0],
    ] as const) {
      const env = { HOST: '0.0.0.0', NATS_URL, DATA_DIR, WRITE_TOKEN }
      await using child = startChild(process.execPath, [`${service}/main.ts`, '--port', '0'], { env })
      await child.line(listeningUrl)
      expect(child.lines.filter((line) => line.includes('beyond loopback without a WRITE_TOKEN'))).toHaveLength(
        warnings,
      )
    }
  },
)

test.concurrent.each(['metadata', 'play', 'queue-listener'])('%s listens while NATS is down', async (service) => {
  await using child = startChild(process.execPath, [`${service}/main.ts`, '--port', '0'], {
    env: { NATS_URL, DATA_DIR },
  })
  const url = await child.line(listeningUrl)
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
  expect(await (await fetch(`${url}/readyz`)).json()).toMatchObject({ dependencies: { nats: 'down' } })
})
