import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Child, startChild } from './harness/child.ts'
import { hasConsul } from './harness/consul-agent.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion, pathWithNats } from './harness/nats-server.ts'
import { getJson, play, views } from './harness/plays.ts'
import { freePortRange } from './harness/ports.ts'

describe('npm start', { timeout: 60_000 }, () => {
  let folder: string
  let edge: number
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'start-'))
    edge = await freePortRange()
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  const start = (env: Record<string, string> = {}, args: string[] = []) =>
    startChild(process.execPath, ['scripts/start/main.ts', '--port', String(edge), ...args], {
      env: { DATA_DIR: folder, NATS_URL: '', PATH: pathWithNats, ...env },
    })

  const expectCountedPlays = async () => {
    for (const count of [1, 2]) {
      const { body } = await play(`http://127.0.0.1:${edge}`, '456', '8')
      expect(body).toMatchObject({ title: 'Terminator', userviews: count })
      await eventually(async () => expect(await views(`http://127.0.0.1:${edge + 2}`, 'user', '8')).toBe(count))
    }
  }

  test.skipIf(!natsVersion)('starts five processes, restarts what dies, and ends with status 0', async () => {
    await using child = start()
    await says(child, /^npm start: starting five processes, with nats-server/)
    await says(child, new RegExp(`^Try: curl -X POST localhost:${edge}/play/asset/456/user/8$`))
    await says(child, new RegExp(`^See: http://localhost:${edge}/$`))
    await expectCountedPlays()
    await eventually(async () =>
      expect(await getJson(`http://127.0.0.1:${edge}/status`)).toMatchObject({ status: 'ready' }),
    )

    process.kill(await pidOfService(child, 'reporting'), 'SIGKILL')
    await says(child, /^npm start: reporting ended \(SIGKILL\); the others go on; starting it again in 1 s$/)
    await eventually(async () => expect(await views(`http://127.0.0.1:${edge + 2}`, 'user', '8')).toBe(2))

    await child.signal('SIGINT')
    expect(await child.ended).toBe(0)
    await expect(play(`http://127.0.0.1:${edge}`, '456', '8')).rejects.toThrow()
  })

  test.skipIf(!natsVersion || !hasConsul)('with --consul it starts an agent and a second metadata too', async () => {
    await using child = start({}, ['--consul'])
    await says(child, new RegExp(`^ {2}Consul +http://localhost:${edge + 420}/ui$`))
    await expectCountedPlays()
    await child.signal('SIGINT')
    expect(await child.ended).toBe(0)
  })

  test('--consul without nats-server ends with one line that says what is missing', async () => {
    await using child = start({ PATH: '' }, ['--consul'])
    expect(await child.ended).toBe(1)
    expect(child.lines).toEqual([expect.stringContaining('there is no nats-server on the PATH')])
  })

  test('without nats-server it starts all in one process, and says what that does not promise', async () => {
    await using child = start({ PATH: '' })
    await says(child, /^npm start: starting embedded, one process without NATS$/)
    await says(child, /^For the real thing install NATS/)
    await says(child, /^Try: curl/)
    await expectCountedPlays()
    await child.signal('SIGTERM')
    expect(await child.ended).toBe(0)
  })

  test('what it started ends where nobody reads along any more, as when the terminal is closed', async () => {
    // Without nats-server: one process is enough.
    const line = `PATH= "$0" scripts/start/main.ts --port ${edge} | "$0" -e 'process.stdin.once("data", () => process.exit())'`
    const env = { DATA_DIR: folder, NATS_URL: '' }
    await using shell = startChild('bash', ['-c', line, process.execPath], { env })
    try {
      await shell.ended
      await expect(fetch(`http://127.0.0.1:${edge + 1}/healthz`)).rejects.toThrow()
    } finally {
      spawnSync('pkill', ['-KILL', '-f', '--', `--port ${edge}`])
    }
  })

  test('a port that is taken ends it with one line that names it', async () => {
    const server = createServer().listen(edge + 3, '127.0.0.1')
    await once(server, 'listening')
    await using child = start()
    expect(await child.ended).toBe(1)
    server.close()
    expect(child.lines).toEqual([expect.stringContaining(`port ${edge + 3}, which cdnurl needs, is already in use`)])
  })

  test('a wrong setting ends it with status 2', async () => {
    await using child = start({ CATALOGUE_TTL: 'soon', PATH: '' })
    expect(await child.ended).toBe(2)
    expect(child.lines.join('\n')).toContain('CATALOGUE_TTL is "soon": it must be a duration such as 500ms, 5s or 2m')
  })

  test('an unknown flag ends it with status 2', async () => {
    await using child = start({}, ['--colour'])
    expect(await child.ended).toBe(2)
    expect(child.lines).toEqual([expect.stringContaining('--colour')])
  })
})

function says(child: Child, text: RegExp): Promise<string> {
  return child.line((line) => (text.test(line) ? line : undefined))
}

async function pidOfService(child: Child, name: string): Promise<number> {
  const line = await child.line((text) => (text.includes(`"name":"${name}"`) ? text : undefined))
  return JSON.parse(line).pid
}
