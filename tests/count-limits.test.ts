import { describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { startService } from './harness/service-process.ts'
import { startSystem } from './harness/system.ts'

const BATCH = 10_000
const FULL = 507

describe("at reporting's limits,", { timeout: 120_000 }, () => {
  test.skipIf(!natsVersion)(
    'plays by users beyond MAX_USERS succeed, and are counted as soon as there is room',
    async () => {
      await using system = await startSystem({ MAX_USERS: '2' })
      const { play: edge, reporting, listener } = system
      const counts = () => Promise.all(['u', 'v', 'w'].map((user) => views(reporting.url, 'user', user)))
      for (const user of ['u', 'v', 'u']) {
        await eventually(async () => expect((await play(edge.url, '456', user)).status).toBe(200))
      }
      // Once these views are counted, the next batch begins with a third user's view, and waits for room.
      await eventually(async () => expect(await counts()).toEqual([2, 1, 0]))
      for (const user of ['w', 'u']) expect((await play(edge.url, '456', user)).status).toBe(200)
      await eventually(() => expect(listener.lines().join('\n')).toContain(`it returned ${FULL}`))
      await eventually(() =>
        expect(reporting.lines().join('\n')).toContain('the counts are limited to 2 users: raise MAX_USERS'),
      )
      expect(await metric(listener.url, /^rejected_messages_total/)).toBe(0)
      expect(await metric(reporting.url, /^counted_ids{by="user"}/)).toBe(2)
      expect(await metric(reporting.url, /^counted_ids_max/)).toBe(2)
      expect(await counts()).toEqual([2, 1, 0])

      await reporting.signal('SIGTERM')
      await using _ = await startService(
        'reporting',
        { ...system.env, MAX_USERS: '3' },
        Number(new URL(reporting.url).port),
      )
      await eventually(async () => expect(await counts()).toEqual([3, 1, 1]))
    },
  )

  test('a batch and a direct view beyond MAX_USERS get a 507 and change nothing', async () => {
    await using reporting = await startService('reporting', { MAX_USERS: '2' })
    const post = (path: string, body?: object) =>
      fetch(reporting.url + path, body ? jsonRequest(body) : { method: 'POST' })
    expect((await post('/events', batchOf(0, ['u', 'v']))).status).toBe(200)
    const refused = await post('/events', batchOf(1, ['u', 'w']))
    expect(refused.status).toBe(FULL)
    expect(await refused.json()).toEqual({ status: 'Insufficient storage', requestId: expect.any(String) })
    expect((await post('/events/asset/a/user/w')).status).toBe(FULL)
    expect(await getJson(`${reporting.url}/events/position`)).toEqual({ stream: 's', sequence: 1 })
    expect(await views(reporting.url, 'user', 'u')).toBe(1)
    expect((await post('/events', batchOf(1, ['u', 'v']))).status).toBe(200)
    expect((await post('/events/asset/a/user/u')).status).toBe(200)
    expect(await views(reporting.url, 'asset', 'a')).toBe(5)
  })

  test.each([
    '--max-old-space-size=64',
    '--max-old-space-size=64 --max-semi-space-size=4',
    '--max-old-space-size=64 --max-semi-space-size=64',
  ])('with %s, new users are refused before the heap is full; existing users are counted', async (NODE_OPTIONS) => {
    await using reporting = await startService('reporting', { NODE_OPTIONS })
    let after = 0
    let refused = 0
    while (refused < 20) {
      const { status } = await fetch(`${reporting.url}/events`, jsonRequest(batchOf(after, manyUsers(after * BATCH))))
      expect([200, FULL]).toContain(status)
      if (status === 200) after += 1
      else refused += 1
    }
    expect(after).toBeGreaterThan(10)
    // See `maxUsers`: a user takes at least 40 bytes.
    expect(after * BATCH * 40).toBeLessThan(64 * 2 ** 20)
    const response = await fetch(`${reporting.url}/events`, jsonRequest(batchOf(after, manyUsers(0))))
    expect(response.status).toBe(200)
    expect(await views(reporting.url, 'user', 'user-9000000')).toBe(2)
  })

  test('reading the top 1,000 of 1,000,000 users does not block the event loop', async () => {
    await using reporting = await startService('reporting')
    for (let after = 0; after < 1_000_000 / BATCH; after += 1) {
      const response = await fetch(`${reporting.url}/events`, jsonRequest(batchOf(after, manyUsers(after * BATCH))))
      expect(response.status).toBe(200)
    }
    const maxLag = () => metric(reporting.url, /^nodejs_eventloop_lag_max_seconds/)
    // Retry, because other processes may keep the machine busy.
    await eventually(async () => {
      // Start a new interval, because the metric covers the time since the last scrape.
      await maxLag()
      for (let times = 0; times < 20; times += 1) {
        const top = await getJson(`${reporting.url}/events/top?by=user&limit=1000`)
        expect(top).toMatchObject({ top: { length: 1_000, 0: { id: 'user-8000001', views: 1 } } })
      }
      // On an idle machine, a read takes less than 1 ms. A scan of all users takes seconds in the worst case.
      expect(await maxLag()).toBeLessThan(0.5)
    })
  })
})

/** Creates a batch whose views were played a minute after those in the previous batch. */
function batchOf(after: number, users: string[]) {
  const at = new Date(Date.parse('2026-11-20T21:00:00.123Z') + after * 60_000).toISOString()
  const views = users.map((userId) => ({ id: 'x', assetId: 'a', userId, at }))
  return { stream: 's', after, through: after + 1, views }
}

/** User ids that each rank before all earlier ids, which is the worst case for a top list. */
function manyUsers(from: number): string[] {
  return Array.from({ length: BATCH }, (_, index) => `user-${9_000_000 - from - index}`)
}
