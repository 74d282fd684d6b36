import { describe, expect, test } from 'vitest'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { metric, play } from './harness/plays.ts'
import { startSystem } from './harness/system.ts'

const PLAYS = 4

describe.skipIf(!natsVersion)('with a 400 ms round trip to NATS,', () => {
  test.each([
    ['views are appended to the log if APPEND_TIMEOUT is long enough', { APPEND_TIMEOUT: '5s' }, 'log'],
    ['views go to the outbox, but their producer stays the same, if APPEND_TIMEOUT is too short', {}, 'outbox'],
  ])('%s', async (_, settings, place) => {
    await using system = await startSystem(settings, { proxied: { delayMs: 200 } })
    const { play: edge, reporting, nats } = system
    await eventually(async () => expect((await fetch(`${edge.url}/readyz`)).ok).toBe(true))
    await eventually(async () => expect((await play(edge.url, '456', 'warm')).status).toBe(200))
    const recorded = () => metric(edge.url, new RegExp(`^recorded_views_total\\{place="${place}"\\}`))
    const before = await recorded()
    for (let n = 0; n < PLAYS; n += 1) expect((await play(edge.url, '456', 'viewer')).status).toBe(200)
    expect((await recorded()) - before).toBe(PLAYS)
    await eventually(async () => expect(await metric(edge.url, /^outbox_waiting_views /)).toBe(0))
    await eventually(async () => {
      expect(await metric(reporting.url, /^counted_views_total\{source="log"\}/)).toBeGreaterThanOrEqual(PLAYS + 1)
    })
    const producers = await nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      const { state } = await jsm.streams.info('EVENTS', { subjects_filter: 'events.view.>' })
      return Object.keys(state.subjects ?? {}).length
    })
    expect(producers).toBe(1)
  })
})
