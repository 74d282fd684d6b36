import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serviceNames } from './harness/each-service.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play, views } from './harness/plays.ts'
import { type System, startSystem } from './harness/system.ts'

const WRITE_TOKEN = 'secret-write-token'

describe.skipIf(!natsVersion)('with a WRITE_TOKEN', { timeout: 30_000 }, () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ WRITE_TOKEN })
  }, 30_000)
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('plays are counted: queue-listener sends the token', async () => {
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
