import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play, views } from './harness/plays.ts'
import { type System, startSystem } from './harness/system.ts'

const WRITE_TOKEN = 'a-token-that-is-not-to-be-seen'

describe.skipIf(!natsVersion)('with a WRITE_TOKEN', { timeout: 30_000 }, () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ WRITE_TOKEN })
  }, 30_000)
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('plays are counted, because the listener sends it', async () => {
    await eventually(async () => expect((await play(system.play.url, '456', 'guarded')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'guarded')).toBeGreaterThan(0))
  })

  test('who has it not cannot write', async () => {
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

  test('it is in no log', () => {
    const { metadata, cdnurl, reporting, listener, play: edge } = system
    const logs = [metadata, cdnurl, reporting, listener, edge].flatMap((service) => service.lines())
    expect(logs.join('\n')).not.toContain(WRITE_TOKEN)
  })
})
