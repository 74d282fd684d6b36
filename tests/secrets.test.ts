import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startChild } from './harness/child.ts'
import { hasConsul, startConsulAgent } from './harness/consul-agent.ts'
import { serviceNames } from './harness/each-service.ts'
import { eventually } from './harness/eventually.ts'
import { startConfiguredNats } from './harness/nats-config.ts'
import { type NatsServer, natsVersion, pathWithNats, startNatsServer } from './harness/nats-server.ts'
import { play } from './harness/plays.ts'
import { freePortRange } from './harness/ports.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

/** Part of every secret. */
const MARK = 's3cr3t'
const WRITE_TOKEN = `${MARK}-write-token ${MARK}-former-token`
/** A CDN that does not exist, for which play signs URLs. */
const CDN = { CDN_BASE_URL: 'http://127.0.0.1:1', CDN_KEYS: `k1:${MARK}-of-the-first-key` }
const DATABASE_URL = `postgres://alice:${MARK}-db@127.0.0.1:1/counts`

const COMMANDS = [
  ['doctor'],
  ['counts'],
  ['counts', 'copy'],
  ['counts', 'accept-loss', '--yes'],
  ['counts', 'recount', '--rules', 'v2'],
  ['audit'],
  ['why', 'user/8'],
  ['dead-letters'],
  ['doctor', '--help'],
]

/** Runs a command from package.json without npm, and returns its output. */
async function run(env: Record<string, string>, [name, ...args]: readonly string[]): Promise<string> {
  await using child = startChild(process.execPath, [`scripts/${name}/main.ts`, ...args], { env })
  await child.ended
  return child.lines.join('\n')
}

async function runAll(env: Record<string, string>): Promise<string> {
  // Run the commands in parallel, because they mostly wait.
  const outputs = await Promise.all(COMMANDS.map((command) => run(env, command)))
  return outputs.join('\n')
}

/** The responses in which a running service describes itself. */
async function responsesOf({ url }: ServiceProcess): Promise<string> {
  const paths = ['/readyz', '/metrics', '/openapi.json', '/status', '/healthz', '/dead-letters']
  const responses = await Promise.all(paths.map((path) => fetch(`${url}${path}`)))
  return (await Promise.all(responses.map((response) => response.text()))).join('\n')
}

/** The lines that contain a secret. */
const leaksIn = (text: string) => text.split('\n').filter((line) => line.toLowerCase().includes(MARK))

describe.skipIf(!natsVersion)('secrets', { timeout: 120_000 }, () => {
  const stack = new AsyncDisposableStack()
  let directory: string
  let system: System
  let nats: NatsServer
  let env: Record<string, string>
  beforeAll(async () => {
    directory = stack.use(await createTempDirectory('secrets')).path
    nats = stack.use(await startConfiguredNats(`authorization { user: alice, password: "${MARK}-nats" }`))
    const NATS_URL = nats.url.replace('//', `//alice:${MARK}-nats@`)
    system = stack.use(await startSystem({ NATS_URL, WRITE_TOKEN, ...CDN, LOG_LEVEL: 'trace' }))
    env = { ...system.env, DATA_DIR: system.dataDir }
    await eventually(async () => expect((await play(system.play.url, '456', '8')).status).toBe(200))
  })
  afterAll(() => stack.disposeAsync())

  const linesOf = (processes: readonly ServiceProcess[]) => processes.flatMap((each) => each.lines()).join('\n')

  test('are not printed by running services, or by commands that call them', async () => {
    const services = serviceNames.map((name) => system[name])
    const output = [await runAll(env), ...(await Promise.all(services.map(responsesOf))), linesOf(services)].join('\n')
    expect(output).toContain('reporting agrees with the log')
    expect(leaksIn(output)).toEqual([])
  })

  test('are not printed by services or commands that have wrong secrets or cannot reach NATS', async () => {
    const wrong = { ...env, NATS_URL: nats.url.replace('//', `//alice:${MARK}-wrong@`), WRITE_TOKEN: `${MARK}-wrong` }
    const settings = [wrong, { ...wrong, NATS_URL: `tls://alice:${MARK}-tls@127.0.0.1:${new URL(nats.url).port}` }]
    for (const given of [...settings, { ...wrong, NATS_URL: `${MARK}-token@127.0.0.1:1`, DATABASE_URL }]) {
      await using reporting = await startService('reporting', { ...given, DATA_DIR: directory })
      await using listener = await startService('queue-listener', { ...given, REPORTING_URL: reporting.url })
      await using edge = await startService('play', { ...given, DATA_DIR: join(directory, 'play') })
      await using catalogue = await startService('metadata', given)
      const services = [reporting, listener, edge, catalogue]
      await eventually(() => expect(linesOf(services)).toMatch(/cannot connect to NATS yet/))
      await play(edge.url, '456', '8')
      const outputs = [await runAll(given), ...(await Promise.all(services.map(responsesOf))), linesOf(services)]
      expect(leaksIn(outputs.join('\n'))).toEqual([])
    }
  })

  test.skipIf(!hasConsul)('are not printed by a service that Consul rejects', async () => {
    await using consul = await startConsulAgent({ managementToken: '11111111-1111-4111-8111-111111111111' })
    const given = { ...env, CONSUL_HTTP_ADDR: consul.address, CONSUL_HTTP_TOKEN: `${MARK}-consul` }
    await using service = await startService('metadata', given)
    await eventually(() => expect(linesOf([service])).toMatch(/Consul is unavailable/))
    const output = [await run(given, ['doctor']), await responsesOf(service), linesOf([service])].join('\n')
    expect(output).toContain('rejects the token')
    expect(leaksIn(output)).toEqual([])
  })

  test('are not printed in the error for an invalid setting', async () => {
    const file = join(directory, 'bad')
    await writeFile(file, `${MARK} ${MARK} ${MARK}`)
    const invalid: Record<string, string>[] = [
      { WRITE_TOKEN: `${MARK} has spaces` },
      { WRITE_TOKEN_FILE: file },
      { WRITE_TOKEN_FILE: `/nowhere/${MARK}` },
      { WRITE_TOKEN: MARK, HOST: '0.0.0.0' },
      { WRITE_TOKEN: MARK, WRITE_TOKEN_FILE: file },
      { NATS_URL: `nats://alice:${MARK}` },
      { NATS_URL: `nats://alice:${MARK} @127.0.0.1` },
      { NATS_URL: `nats://alice:${MARK}/@127.0.0.1,b` },
      { NATS_URL: `http://${MARK}@127.0.0.1` },
      { NATS_NKEY: `SU${MARK}` },
      { NATS_CREDS: file },
      { DATABASE_URL: `postgres://alice:${MARK}` },
      { DATABASE_URL: `postgres://alice:${MARK}/@127.0.0.1/d b` },
      { DATABASE_URL: `postgres://127.0.0.1?password=${MARK}` },
      { DATABASE_URL_FILE: file },
      { DATABASE_URL: MARK },
      { DATABASE_URL: `postgres://127.0.0.1/a ${MARK}` },
    ]
    for (const given of invalid) {
      const [name = ''] = Object.keys(given)
      const service = name.startsWith('DATABASE') ? 'reporting' : 'play'
      const settings = { NATS_URL: '127.0.0.1:1', WRITE_TOKEN: '', DATABASE_URL: '', DATA_DIR: directory, ...given }
      const command = [`${service}/main.ts`, '--port', '0']
      await using child = startChild(process.execPath, command, { env: settings })
      const commands = await Promise.all(['counts', 'doctor'].map((command) => run(settings, [command])))
      expect([name, await child.ended]).toEqual([name, 2])
      const output = [...child.lines, ...commands].join('\n')
      expect(output).toContain(name.replace('_FILE', ''))
      expect(leaksIn(output)).toEqual([])
    }
  })

  test('are not printed by npm start, or in --help', async () => {
    await using open = await startNatsServer()
    const port = await freePortRange()
    const given = {
      PATH: pathWithNats,
      DATA_DIR: directory,
      NATS_URL: open.url.replace('//', `//alice:${MARK}-start@`),
      WRITE_TOKEN,
    }
    await using child = startChild(process.execPath, ['scripts/start/main.ts', '--port', String(port)], { env: given })
    await child.line((line) => (line.startsWith('See: ') ? line : undefined))
    const help = await Promise.all(
      serviceNames.map(async (name) => {
        await using printed = startChild(process.execPath, [`${name}/main.ts`, '--help'], { env: given })
        await printed.ended
        return printed.lines.join('\n')
      }),
    )
    const output = [child.lines.join('\n'), ...help].join('\n')
    expect(output).toContain(`the NATS server at ${open.url}`)
    expect(output).toContain('WRITE_TOKEN[_FILE]')
    expect(leaksIn(output)).toEqual([])
    await child.signal('SIGINT')
  })

  test('can be read from files', async () => {
    const [token, url] = [join(directory, 'token'), join(directory, 'nats-url')]
    await writeFile(token, `${WRITE_TOKEN}\n`)
    await writeFile(url, `${env.NATS_URL}\n`)
    const { NATS_URL: _, WRITE_TOKEN: __, ...rest } = env
    const given = { ...rest, NATS_URL_FILE: url, WRITE_TOKEN_FILE: token }
    await using metadata = await startService('metadata', given)
    const options = (text: string) => ({ method: 'DELETE', headers: { authorization: `Bearer ${text}` } })
    const remove = async (text: string) => (await fetch(`${metadata.url}/content/asset/none`, options(text))).status
    await eventually(async () => expect(await remove(`${MARK}-write-token`)).toBe(404))
    expect([await remove(`${MARK}-former-token`), await remove('other')]).toEqual([404, 401])
    expect(await run(given, ['doctor'])).toMatch(/^ok +nats +127\.0\.0\.1:\d+ \(nats-server \S+\) is up$/m)
  })
})
