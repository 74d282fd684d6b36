import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { type LiveSubscriber as Subscriber, subscribeLive } from '../../tests/harness/live-subscriber.ts'
import { metric } from '../../tests/harness/plays.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import { LiveChanges, type LiveEvent, LiveSnapshot, MAX_LIVE_IDS } from '../contracts/live.ts'
import { createBaseApp } from '../http/base-app.ts'
import { sleep } from '../runtime/sleep.ts'
import { serve } from '../service/serve.ts'
import { createTestService } from '../testing/test-service.ts'
import { createLiveFeed } from './live-feed.ts'

/** Longer than any pause in the test on a busy machine. */
const KEEP_MS = 10_000
const SHORT_KEEP_MS = 500
const HEARTBEAT_MS = 150

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

test('a subscriber receives a snapshot, then changes', async () => {
  const { subscribe, publish } = await setUp()
  const subscriber = await subscribe()
  await eventually(() => expect(received(subscriber)).toEqual(['snapshot']))
  publish(changes({ a: 2 }))
  await eventually(() => expect(received(subscriber)).toEqual(['snapshot', { a: 2 }]))
  expect(subscriber.seen()).toMatchObject({ assets: [{ id: 'a', views: 2 }] })
})

test('proxies neither buffer nor cache the response', async () => {
  const { subscribe } = await setUp()
  const { status, headers } = await subscribe()
  expect(status).toBe(200)
  expect(headers).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
    'x-request-id': expect.any(String),
  })
})

test('a later subscriber receives a snapshot that includes all changes so far', async () => {
  const { subscribe, publish } = await setUp()
  await subscribe()
  publish(changes({ a: 2, b: 1 }))
  publish(changes({ b: 5 }))
  const late = await subscribe()
  await eventually(() => expect(received(late)).toContain('snapshot'))
  expect(LiveSnapshot.parse(JSON.parse(String(late.events[0]?.data))).top.assets).toEqual([
    { id: 'b', views: 5 },
    { id: 'a', views: 2 },
  ])
})

describe('a subscriber that reconnects', () => {
  test('receives exactly what it missed, as one event', async () => {
    const { subscribe, publish } = await setUp()
    const first = await subscribeAndWait(subscribe)
    for (const counts of [{ a: 1 }, { a: 2, b: 1 }, { b: 2, c: 1 }]) await publishTo(first, publish, changes(counts))
    const [, one, two, three] = first.events.map(({ id }) => id)
    const again = await subscribe(one)
    await eventually(() => expect(received(again)).toEqual([{ a: 2, b: 2, c: 1 }]))
    expect(again.events[0]?.id).toBe(three)
    expect(await receivedAtOnce(subscribe, two)).toEqual([{ b: 2, c: 1 }])
    expect(await receivedAtOnce(subscribe, three)).toEqual([])
  })

  test('receives a snapshot if the missed events include a snapshot', async () => {
    const { subscribe, publish } = await setUp()
    const first = await subscribeAndWait(subscribe)
    await publishTo(first, publish, snapshot())
    expect(await receivedAtOnce(subscribe, first.events[0]?.id)).toEqual(['snapshot'])
  })

  test('receives a snapshot if more ids changed than fit in one event', async () => {
    const { subscribe, publish } = await setUp()
    const first = await subscribeAndWait(subscribe)
    for (const prefix of ['x', 'y']) await publishTo(first, publish, changes(many(prefix, MAX_LIVE_IDS - 1)))
    expect(await receivedAtOnce(subscribe, first.events[0]?.id)).toEqual(['snapshot'])
    expect(await receivedAtOnce(subscribe, first.events[1]?.id)).toMatchObject([{}])
  })

  test('receives a snapshot if what it missed is no longer buffered', async () => {
    const { subscribe, publish } = await setUp({ keepMs: SHORT_KEEP_MS })
    const first = await subscribeAndWait(subscribe)
    await publishTo(first, publish, changes({ a: 1 }))
    await eventually(async () => {
      publish(changes({ b: 1 }))
      expect(await receivedAtOnce(subscribe, first.events[0]?.id)).toEqual(['snapshot'])
    })
  })

  test.each(['00000000-1', 'x', '-1', '1-', `${'9'.repeat(4_000)}-${'9'.repeat(4_000)}`, 'a-1e9', '%00'])(
    'receives a snapshot for the last event id %s',
    async (id) => {
      const { subscribe } = await setUp()
      expect(await receivedAtOnce(subscribe, id)).toEqual(['snapshot'])
    },
  )

  test("receives a snapshot for a future event's id", async () => {
    const { subscribe } = await setUp()
    const [{ id } = { id: '' }] = (await subscribeAndWait(subscribe)).events
    expect(await receivedAtOnce(subscribe, `${id?.split('-')[0]}-7`)).toEqual(['snapshot'])
  })
})

test('a subscriber that arrives before the first snapshot receives the snapshot once it is published', async () => {
  const { subscribe, publish } = await setUp({ hasSnapshot: false })
  const subscriber = await subscribe()
  publish(changes({ a: 1 }))
  publish(snapshot())
  await eventually(() => expect(received(subscriber)).toEqual(['snapshot']))
})

describe('while the source has been silent for longer than a heartbeat interval', () => {
  const STALE_MS = 300

  test('a new subscriber receives no snapshot', async () => {
    const { subscribe } = await setUp({ staleMs: STALE_MS })
    const first = await subscribeAndWait(subscribe)
    await sleep(1.5 * STALE_MS)
    expect(await receivedAtOnce(subscribe)).toEqual([])
    expect(await receivedAtOnce(subscribe, first.events[0]?.id)).toEqual([])
  })

  test('a new subscriber receives a snapshot once the source sends changes again', async () => {
    const { subscribe, publish } = await setUp({ staleMs: STALE_MS })
    const first = await subscribeAndWait(subscribe)
    await sleep(1.5 * STALE_MS)
    const late = await subscribe()
    publish(changes({ a: 2 }))
    await eventually(() => expect(received(first)).toEqual(['snapshot', 'snapshot']))
    await eventually(() => expect(received(late)).toEqual(['snapshot']))
    expect(late.seen()).toMatchObject({ assets: [{ id: 'a', views: 2 }] })
    publish(changes({ a: 3 }))
    await eventually(() => expect(received(late)).toEqual(['snapshot', { a: 3 }]))
  })
})

test('heartbeats are sent while there are no events', async () => {
  const { subscribe } = await setUp()
  const subscriber = await subscribe()
  await eventually(() => expect(subscriber.heartbeats()).toBeGreaterThan(2))
  expect(received(subscriber)).toEqual(['snapshot'])
})

test('all subscribers share one source, which keeps running for a while after the last subscriber leaves', async () => {
  const { subscribe, source, url } = await setUp()
  expect(source).not.toHaveBeenCalled()
  const [one, other] = [await subscribe(), await subscribe()]
  expect(source).toHaveBeenCalledTimes(1)
  await one[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
  await eventually(async () => expect(await metric(url, /^event_stream_listeners /)).toBe(0))
  await subscribe()
  expect(source).toHaveBeenCalledTimes(1)
  expect(source.ended).toBe(0)
})

test('a subscriber that connects after the source has stopped restarts it', async () => {
  const { subscribe, source } = await setUp({ keepMs: SHORT_KEEP_MS })
  const first = await subscribeAndWait(subscribe)
  await first[Symbol.asyncDispose]()
  await eventually(() => expect(source.ended).toBe(1))
  expect(await receivedAtOnce(subscribe, first.events[0]?.id)).toEqual(['snapshot'])
  expect(source).toHaveBeenCalledTimes(2)
})

test('after several slow consumers are disconnected at once, the source keeps running for a new subscriber', async () => {
  const { subscribe, publish, source, url } = await setUp({ keepMs: SHORT_KEEP_MS })
  const slow = [await subscribeAndWait(subscribe), await subscribeAndWait(subscribe)]
  for (const subscriber of slow) subscriber.pause()
  await eventually(async () => {
    publish(changes(many('x'.repeat(100), MAX_LIVE_IDS)))
    expect(await metric(url, /^event_stream_listeners_dropped_total/)).toBe(2)
  })
  await subscribeAndWait(subscribe)
  await sleep(2 * SHORT_KEEP_MS)
  expect(source.ended).toBe(0)
})

test('a slow consumer is disconnected, but other subscribers are not', async () => {
  const { subscribe, publish, url } = await setUp()
  const [slow, quick] = [await subscribeAndWait(subscribe), await subscribeAndWait(subscribe)]
  slow.pause()
  await eventually(async () => {
    await publishMuch(publish, quick)
    expect(await metric(url, /^event_stream_listeners_dropped_total/)).toBe(1)
  })
  slow.resume()
  await eventually(() => expect(slow.hasEnded()).toBe(true))
  expect(quick.hasEnded()).toBe(false)
  expect(await metric(url, /^event_stream_listeners /)).toBe(1)
})

test('a pipelined request behind a stream does not become a subscriber', async () => {
  const { url } = await setUp()
  const subscribers = () => metric(url, /^event_stream_listeners /)
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write('GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(2))
  await eventually(async () => expect(await subscribers()).toBe(1))
  socket.destroy()
  await eventually(async () => expect(await subscribers()).toBe(0))
})

test('subscribers above the limit receive a 503 with retry-after', async () => {
  const { subscribe } = await setUp({ maxSubscribers: 2 })
  const [one] = [await subscribe(), await subscribe()]
  const rejected = await subscribe()
  expect(rejected.status).toBe(503)
  expect(rejected.headers['retry-after']).toBe('1')
  await one[Symbol.asyncDispose]()
  await eventually(async () => expect((await subscribe()).status).toBe(200))
})

test('when the service stops, streams end immediately, even for slow consumers, and no new stream opens', async () => {
  const { subscribe, publish, stop, close } = await setUp()
  const [one, unread] = [await subscribeAndWait(subscribe), await subscribeAndWait(subscribe)]
  unread.pause()
  for (let n = 0; n < 50; n += 1) await publishMuch(publish, one)
  const start = runningTime()
  stop()
  await eventually(() => expect(one.hasEnded()).toBe(true))
  expect((await subscribe()).status).toBe(503)
  await close()
  expect(runningTime() - start).toBeLessThan(2_000)
})

test('a HEAD request receives the headers, but no stream', async () => {
  const { url, source } = await setUp()
  const response = await fetch(`${url}/live`, { method: 'HEAD' })
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  expect(source).not.toHaveBeenCalled()
})

test('without a connection to stream to, the response is a 503', async () => {
  const { app, source } = await setUp()
  expect((await app.request('/live')).status).toBe(503)
  expect(source).not.toHaveBeenCalled()
})

test("a stream's duration is not measured", async () => {
  const { subscribe, url } = await setUp()
  const subscriber = await subscribeAndWait(subscribe)
  await subscriber[Symbol.asyncDispose]()
  await eventually(async () => expect(await metric(url, /^event_stream_listeners /)).toBe(0))
  expect(await metric(url, /^http_server_request_duration_seconds_count\{.*"\/metrics"/)).toBeGreaterThan(0)
  expect(await metric(url, /^http_server_request_duration_seconds_count\{.*"\/live"/)).toBe(0)
})

/** A feed behind a real server. The test publishes the events. */
async function setUp({ hasSnapshot = true, maxSubscribers = 100, staleMs = 10_000, keepMs = KEEP_MS } = {}) {
  const stopping = new AbortController()
  const service = createTestService('test', stopping.signal)
  let publish: (event: LiveEvent) => void = () => {}
  const follow = vi.fn((given: typeof publish) => {
    publish = given
    if (hasSnapshot) publish(snapshot())
    return () => {
      source.ended += 1
    }
  })
  const source = Object.assign(follow, { ended: 0 })
  const limits = { keepMs, staleMs, heartbeatMs: HEARTBEAT_MS, maxSubscribers }
  const feed = createLiveFeed({ ...service, source, ...limits })
  const app = createBaseApp(service).get('/live', (c) => feed.subscribe(c))
  stack.use(service.resources)
  const { url } = await serve(app, service, { PORT: 0, HOST: '127.0.0.1' })
  return {
    app,
    url,
    source,
    publish: (event: LiveEvent) => publish(event),
    subscribe: async (lastEventId?: string) => stack.use(await subscribeLive(`${url}/live`, lastEventId)),
    stop: () => stopping.abort(),
    close: () => service.resources.disposeAsync(),
  }
}

function received({ events }: Subscriber): unknown[] {
  return events.map(({ event, data }) => (event === 'changes' ? LiveChanges.parse(JSON.parse(data)).assets : event))
}

type Publish = (event: LiveEvent) => void
type Subscribe = (lastEventId?: string) => Promise<Subscriber>

async function subscribeAndWait(subscribe: Subscribe): Promise<Subscriber> {
  const subscriber = await subscribe()
  await eventually(() => expect(subscriber.events).not.toHaveLength(0))
  return subscriber
}

/** The events that a new subscriber receives before the first heartbeat. */
async function receivedAtOnce(subscribe: Subscribe, lastEventId?: string): Promise<unknown[]> {
  const subscriber = await subscribe(lastEventId)
  await eventually(() => expect(subscriber.heartbeats()).toBeGreaterThan(0))
  return received(subscriber)
}

function snapshot(): LiveEvent {
  return { event: 'snapshot', data: { views: 0, top: { assets: [], users: [] }, seconds: {} } }
}

function changes(assets: Record<string, number>): LiveEvent {
  return { event: 'changes', data: { views: 0, assets, users: {}, seconds: {} } }
}

/** Publishes a maximum-length event, and waits until `subscriber` has received it. */
function publishMuch(publish: Publish, subscriber: Subscriber): Promise<void> {
  return publishTo(subscriber, publish, changes(many('x'.repeat(100), MAX_LIVE_IDS)))
}

async function publishTo(subscriber: Subscriber, publish: Publish, event: LiveEvent): Promise<void> {
  const before = subscriber.events.length
  publish(event)
  await eventually(() => expect(subscriber.events.length).toBeGreaterThan(before))
}

function many(prefix: string, count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`${prefix}${n}`, 1]))
}
