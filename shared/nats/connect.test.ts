import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import { loadSettings } from '../runtime/settings.ts'
import { connectToNats } from './connect.ts'
import { toNatsAccess } from './credentials.ts'
import { openNatsLink } from './link.ts'
import { natsSettings } from './settings.ts'

const accessOf = (NATS_URL: string) => toNatsAccess(loadSettings(natsSettings, { args: [], env: { NATS_URL } }))

test.each([
  ['nats://user:secret@a:4222', 'nats://a:4222'],
  ['secret@a', 'a'],
  ['tls://a', 'tls://a'],
])('%s is logged as %s', (server, logged) => {
  expect(accessOf(server).servers).toEqual([logged])
})

describe.skipIf(!natsVersion)('connections to NATS', () => {
  test.each([
    ['user: "u", password: "p@:1"', 'u:p%40%3A1'],
    ['token: "t@1"', 't%401'],
  ])('a server that requires {%s} accepts the credentials %s@ and no others', async (authorization, credentials) => {
    const directory = await mkdtemp(join(tmpdir(), 'nats-config-'))
    await writeFile(join(directory, 'nats.conf'), `authorization { ${authorization} }`)
    await using nats = await startNatsServer({ config: join(directory, 'nats.conf') })
    const host = nats.url.replace('nats://', '')
    const connection = await connectToNats({ ...accessOf(`nats://${credentials}@${host}`), name: 'test' })
    await connection.close()
    for (const url of [nats.url, `nats://wrong@${host}`]) {
      await expect(connectToNats({ ...accessOf(url), name: 'test' })).rejects.toThrow(/authorization violation/i)
    }
    await rm(directory, { recursive: true })
  })

  test('a link waits for the server, logs the first failure and reports each transition', async () => {
    await using nats = await startNatsServer()
    await nats.signal('SIGKILL')
    const lines: { level: number; msg: string }[] = []
    const log = pino({}, { write: (line) => lines.push(JSON.parse(line)) })
    const transitions: string[] = []
    {
      const access = accessOf(nats.url.replace('nats://', 'nats://user:secret@'))
      await using link = openNatsLink({ ...access, name: 'test', log, coldStartMs: 0 })
      link.onUp(() => transitions.push('up'))
      expect(link.state()).toBe('down')
      expect(() => link.connection()).toThrow('no connection to NATS')
      expect(link.down().reason).toMatchObject({ name: 'NatsDownError' })
      await expect(link.up(AbortSignal.timeout(20))).rejects.toThrow()
      await eventually(() => expect(lines).toHaveLength(1))
      const up = link.up(AbortSignal.timeout(10_000))
      await nats.start()
      expect(await up).toBe(link.connection())
      expect(link.state()).toBe('up')
      link.onUp(() => transitions.push('late'))
      expect(transitions).toEqual(['up', 'late'])
      const down = link.down()
      expect(down.aborted).toBe(false)
      await nats.signal('SIGKILL')
      await eventually(() => expect(link.state()).toBe('down'))
      expect(down.reason).toMatchObject({ name: 'NatsDownError' })
      await nats.start()
      await eventually(() => expect(link.state()).toBe('up'))
      expect(transitions).toEqual(['up', 'late', 'up', 'late'])
    }
    expect(lines).toMatchObject([
      { level: 40, msg: 'cannot connect to NATS yet; retrying', servers: [nats.url] },
      { level: 30, msg: 'NATS is up' },
      { level: 40, msg: 'NATS is down' },
      { level: 30, msg: 'NATS is up' },
    ])
    expect(JSON.stringify(lines)).not.toContain('secret')
  })

  test('a responsive server is found within 2 s, even if five others accept connections but stay silent', async () => {
    await using stack = new AsyncDisposableStack()
    const nats = stack.use(await startNatsServer())
    const silent = await Promise.all(Array.from({ length: 5 }, () => startNatsServer()))
    for (const server of silent) stack.use(server)
    await Promise.all(silent.map((server) => server.signal('SIGSTOP')))
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const start = runningTime()
      const connection = await connectToNats({ servers: [...silent, nats].map(({ url }) => url), name: 'test' })
      expect(runningTime() - start).toBeLessThan(2_000)
      await connection.close()
    }
  })

  test('a link can be closed while the server is down', async () => {
    const start = runningTime()
    {
      await using _ = openNatsLink({ servers: ['127.0.0.1:9'], name: 'test', log: pino({ level: 'silent' }) })
    }
    expect(runningTime() - start).toBeLessThan(5_000)
  })
})
