import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startHttpServer } from '../shared/testing/http-server.ts'
import { serviceNames } from './harness/each-service.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play, views } from './harness/plays.ts'
import { startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

const WRITE_TOKEN = 'secret-write-token'

describe.skipIf(!natsVersion)('with a WRITE_TOKEN,', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ WRITE_TOKEN })
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('plays are counted, because queue-listener sends the token', async () => {
    await eventually(async () => expect((await play(system.play.url, '456', 'guarded')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'guarded')).toBeGreaterThan(0))
  })

  test('a write without the token gets a 401', async () => {
    const { metadata, cdnurl, reporting } = system
    const targets = [
      ['DELETE', `${metadata.url}/content/asset/456`],
      ['DELETE', `${cdnurl.url}/url/asset/456`],
      ['POST', `${reporting.url}/events/asset/456/user/forger`],
    ] as const
    for (const [method, url] of targets) {
      expect((await fetch(url, { method })).status).toBe(401)
      const authorization = `Bearer ${WRITE_TOKEN}`
      expect((await fetch(url, { method, headers: { authorization } })).status).toBe(200)
    }
  })

  test('no log contains the token', () => {
    const logs = serviceNames.map((name) => system[name].lines().join('\n'))
    for (const log of logs) expect(log).toContain('listening')
    expect(logs.join('\n')).not.toContain(WRITE_TOKEN)
  })
})

describe.skipIf(!natsVersion)("queue-listener's write token", () => {
  test('is sent only with writes', async () => {
    await using system = await startSystem({ WRITE_TOKEN })
    const received: string[] = []
    await using recorder = await startHttpServer(async (incoming, outgoing) => {
      const { method = '', url = '', headers } = incoming
      received.push(`${method} ${url} ${headers.authorization ?? 'without'}`)
      const { host: _, connection: __, ...forwarded } = headers
      const options = { method: method as 'GET', headers: forwarded, body: method === 'POST' ? incoming : null }
      const { statusCode, headers: returned, body } = await request(`${system.reporting.url}${url}`, options)
      outgoing.writeHead(statusCode, { 'content-type': String(returned['content-type']) }).end(await body.text())
    })
    await system.listener.signal('SIGTERM')
    const env = { ...system.env, REPORTING_URL: recorder.url }
    await using listener = await startService('queue-listener', env)
    await fetch(`${listener.url}/readyz`)
    await eventually(async () => expect((await play(system.play.url, '456', 'recorded')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'recorded')).toBeGreaterThan(0))
    const withToken = received.filter((line) => line.endsWith(`Bearer ${WRITE_TOKEN}`))
    expect(new Set(withToken)).toEqual(new Set([`POST /events Bearer ${WRITE_TOKEN}`]))
    expect(received).toContain('GET /events/position without')
    expect(received).toContain('GET /healthz without')
  })

  test('can be rotated while plays are counted', async () => {
    const [old, next] = ['the-old-write-token', 'the-new-write-token']
    await using stack = new AsyncDisposableStack()
    const system = stack.use(await startSystem({ WRITE_TOKEN: old }))
    const { reporting, metadata, listener } = system
    let plays = 0
    const expectCounted = async () => {
      expect((await play(system.play.url, '456', 'rotated')).status).toBe(200)
      plays += 1
      await eventually(async () => expect(await views(reporting.url, 'user', 'rotated')).toBe(plays))
    }
    const restart = async (service: typeof reporting, token: string) => {
      await service.signal('SIGTERM')
      const env = { ...system.env, DATA_DIR: system.dataDir, WRITE_TOKEN: token }
      return stack.use(await startService(service.name, env, Number(new URL(service.url).port)))
    }
    const write = async (token: string) => {
      const options = { method: 'DELETE', headers: { authorization: `Bearer ${token}` } }
      return (await fetch(`${metadata.url}/content/asset/none`, options)).status
    }
    await eventually(expectCounted)
    const started: (typeof reporting)[] = []
    // The order in docs/operating.md: first the services that accept tokens, then those that send them.
    for (const token of [`${next} ${old}`, next]) {
      for (const service of [reporting, metadata, listener]) {
        const current = started.findLast(({ name }) => name === service.name) ?? service
        started.push(await restart(current, token))
        await expectCounted()
      }
      expect([await write(next), await write(old)]).toEqual([404, token === next ? 401 : 404])
    }
    const warnings = started
      .flatMap((service) => service.lines())
      .filter((line) => /returned 401|"level":[56]0/.test(line))
    expect(warnings).toEqual([])
  })
})
