import { afterAll, beforeAll, expect, test } from 'vitest'
import { LiveChanges } from '../shared/contracts/live.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { subscribeLive } from '../tests/harness/live-subscriber.ts'
import { getJson } from '../tests/harness/plays.ts'
import { runningTime } from '../tests/harness/running-time.ts'
import { type ServiceProcess, startService } from '../tests/harness/service-process.ts'

let reporting: ServiceProcess
beforeAll(async () => {
  reporting = await startService('reporting')
})
afterAll(() => reporting?.[Symbol.asyncDispose]())

let sequence = 0
async function post(plays: [assetId: string, userId: string][], at = new Date().toISOString()) {
  const views = plays.map(([assetId, userId]) => ({ id: 'x', assetId, userId, at }))
  const batch = { stream: 's', after: sequence, through: sequence + 1, views }
  expect((await fetch(`${reporting.url}/events`, jsonRequest(batch))).status).toBe(200)
  sequence += 1
}

test('events add up to the same top lists as GET /events/top', async () => {
  await post([['before', 'u']])
  await using subscriber = await subscribeLive(`${reporting.url}/events/live`)
  await eventually(() => expect(subscriber.seen()).toMatchObject({ views: 1, assets: [{ id: 'before', views: 1 }] }))
  for (let n = 0; n < 50; n += 1) {
    await post(Array.from({ length: 20 }, (_, m) => [`a${(n * m) % 37}`, `u${(n + m * m) % 91}`]))
  }
  await eventually(() => expect(subscriber.seen()?.views).toBe(1_001))
  expect(await getJson(`${reporting.url}/events/top?by=asset`)).toMatchObject({ top: subscriber.seen()?.assets })
  expect(await getJson(`${reporting.url}/events/top?by=user`)).toMatchObject({ top: subscriber.seen()?.users })
  const seconds = Object.values(subscriber.seen()?.seconds ?? {})
  expect(seconds.reduce((sum, views) => sum + views, 0)).toBe(1_001)
})

test('a subscriber that reconnects quickly receives what it missed, even if there was no other subscriber', async () => {
  const subscriber = await subscribeLive(`${reporting.url}/events/live`)
  await eventually(() => expect(subscriber.events).not.toHaveLength(0))
  await subscriber[Symbol.asyncDispose]()
  await post([['meanwhile', 'v']])
  await using again = await subscribeLive(`${reporting.url}/events/live`, subscriber.events.at(-1)?.id)
  await eventually(() => expect(again.events).not.toHaveLength(0))
  expect(again.events[0]?.event).toBe('changes')
  expect(LiveChanges.parse(JSON.parse(String(again.events[0]?.data))).assets).toEqual({ meanwhile: 1 })
})

test('a view that is counted directly is published too', async () => {
  await using subscriber = await subscribeLive(`${reporting.url}/events/live`)
  await fetch(`${reporting.url}/events/asset/beside/user/w`, { method: 'POST' })
  await eventually(() => expect(subscriber.events.at(-1)?.data).toContain('"assets":{"beside":1}'))
})

test('a subscriber does not delay the shutdown of the process', async () => {
  await using subscriber = await subscribeLive(`${reporting.url}/events/live`)
  await eventually(() => expect(subscriber.events).not.toHaveLength(0))
  const startedAt = runningTime()
  await reporting.signal('SIGTERM')
  expect(await reporting.ended()).toBe(0)
  expect(runningTime() - startedAt).toBeLessThan(2_000)
  await eventually(() => expect(subscriber.hasEnded()).toBe(true))
})
