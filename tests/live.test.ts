import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from './harness/eventually.ts'
import { subscribeLive } from './harness/live-subscriber.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, warmUp } from './harness/plays.ts'
import { runningTime } from './harness/running-time.ts'
import { type System, startSystem } from './harness/system.ts'

describe.skipIf(!natsVersion)("on the edge's /live,", () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem()
    await warmUp(system.play.url)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const subscribe = () => subscribeLive(`${system.play.url}/live`)
  const subscribersOfReporting = () => metric(system.reporting.url, /^event_stream_listeners /)

  test('subscribers receive the count of a play within a second', async () => {
    await using viewer = await subscribe()
    await eventually(() => expect(viewer.seen()).toBeDefined())
    await play(system.play.url, '123', 'watched')
    const startedAt = runningTime()
    await eventually(() => expect(viewer.seen()?.users).toContainEqual({ id: 'watched', views: 1 }))
    expect(runningTime() - startedAt).toBeLessThan(1_000)
    expect(viewer.seen()?.assets).toContainEqual({ id: '123', views: 1 })
  })

  test('all subscribers share one connection to reporting', async () => {
    await using one = await subscribe()
    await using other = await subscribe()
    await using third = await subscribe()
    for (const viewer of [one, other, third]) await eventually(() => expect(viewer.seen()).toBeDefined())
    await eventually(async () => {
      expect(await metric(system.play.url, /^event_stream_listeners /)).toBe(3)
      expect(await subscribersOfReporting()).toBe(1)
    })
  })

  test('while reporting is down, subscribers stay connected and new ones are accepted; after it restarts, all receive the counts', async () => {
    await using one = await subscribe()
    await using other = await subscribe()
    for (const viewer of [one, other]) await eventually(() => expect(viewer.seen()).toBeDefined())
    await system.reporting.signal('SIGKILL')
    await using late = await subscribe()
    await eventually(() => expect(late.seen()?.views).toBe(one.seen()?.views))
    for (let n = 0; n < 30; n += 1) await play(system.play.url, '456', `again-${n % 3}`)
    await system.reporting.start()
    for (const viewer of [one, other, late]) {
      await eventually(async () => {
        const { top } = (await getJson(`${system.reporting.url}/events/top?by=user`)) as { top: object[] }
        expect(top.slice(0, 3)).toMatchObject(['again-0', 'again-1', 'again-2'].map((id) => ({ id, views: 10 })))
        expect(top).toMatchObject(viewer.seen()?.users ?? [{}])
      })
      expect(viewer.hasEnded()).toBe(false)
    }
    await eventually(async () => expect(await subscribersOfReporting()).toBe(1))
  })

  test("a subscriber does not delay the edge's shutdown", async () => {
    await using viewer = await subscribe()
    await eventually(() => expect(viewer.seen()).toBeDefined())
    const startedAt = runningTime()
    await system.play.signal('SIGTERM')
    expect(await system.play.ended()).toBe(0)
    expect(runningTime() - startedAt).toBeLessThan(2_000)
    await eventually(() => expect(viewer.hasEnded()).toBe(true))
  })
})
