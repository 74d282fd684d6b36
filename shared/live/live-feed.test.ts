import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { type LiveListener, listenLive } from '../../tests/harness/live-subscriber.ts'
import { metric } from '../../tests/harness/plays.ts'
import { type LiveChanges, type LiveEvent, LiveSnapshot, MAX_LIVE_IDS } from '../contracts/live.ts'
import { createBaseApp } from '../http/base-app.ts'
import { serve } from '../service/serve.ts'
import { createTestService } from '../testing/test-service.ts'
import { createLiveFeed } from './live-feed.ts'

const KEEP_MS = 1_000
const HEARTBEAT_MS = 150

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

test('a listener gets a snapshot, then what changes', async () => {
  const { listen, publish } = await open()
  const listener = await listen()
  await eventually(() => expect(told(listener)).toEqual(['snapshot']))
  publish(changes({ a: 2 }))
  await eventually(() => expect(told(listener)).toEqual(['snapshot', { a: 2 }]))
  expect(listener.seen()).toMatchObject({ assets: [{ id: 'a', views: 2 }] })
})

test('the answer is one that proxies let through as it comes', async () => {
  const { listen } = await open()
  const { status, headers } = await listen()
  expect(status).toBe(200)
  expect(headers).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
    'x-request-id': expect.any(String),
  })
})

test('one that comes later gets a snapshot with all that changed before', async () => {
  const { listen, publish } = await open()
  await listen()
  publish(changes({ a: 2, b: 1 }))
  publish(changes({ b: 5 }))
  const late = await listen()
  await eventually(() => expect(told(late)).toContain('snapshot'))
  expect(LiveSnapshot.parse(JSON.parse(String(late.events[0]?.data))).top.assets).toEqual([
    { id: 'b', views: 5 },
    { id: 'a', views: 2 },
  ])
})

describe('one that comes again', () => {
  test('gets exactly what it missed, as one event', async () => {
    const { listen, publish } = await open()
    const first = await listenUntilTold(listen)
    for (const counts of [{ a: 1 }, { a: 2, b: 1 }, { b: 2, c: 1 }]) await publishTo(first, publish, changes(counts))
    const [, one, two, three] = first.events.map(({ id }) => id)
    const again = await listen(one)
    await eventually(() => expect(told(again)).toEqual([{ a: 2, b: 2, c: 1 }]))
    expect(again.events[0]?.id).toBe(three)
    expect(await toldAtOnce(listen, two)).toEqual([{ b: 2, c: 1 }])
    expect(await toldAtOnce(listen, three)).toEqual([])
  })

  test('gets a snapshot where a snapshot was told meanwhile', async () => {
    const { listen, publish } = await open()
    const first = await listenUntilTold(listen)
    await publishTo(first, publish, snapshot())
    expect(await toldAtOnce(listen, first.events[0]?.id)).toEqual(['snapshot'])
  })

  test('gets a snapshot where it missed too much for one event', async () => {
    const { listen, publish } = await open()
    const first = await listenUntilTold(listen)
    for (const prefix of ['x', 'y']) await publishTo(first, publish, changes(many(prefix, MAX_LIVE_IDS - 1)))
    expect(await toldAtOnce(listen, first.events[0]?.id)).toEqual(['snapshot'])
    expect(await toldAtOnce(listen, first.events[1]?.id)).toMatchObject([{}])
  })

  test('gets a snapshot where what it missed is not kept any more', async () => {
    const { listen, publish } = await open()
    const first = await listenUntilTold(listen)
    await publishTo(first, publish, changes({ a: 1 }))
    await eventually(async () => {
      publish(changes({ b: 1 }))
      expect(await toldAtOnce(listen, first.events[0]?.id)).toEqual(['snapshot'])
    })
  })

  test.each(['00000000-1', 'x', '-1', '1-', `${'9'.repeat(4_000)}-${'9'.repeat(4_000)}`, 'a-1e9', '%00'])(
    'gets a snapshot where it names the event %s',
    async (id) => {
      const { listen } = await open()
      expect(await toldAtOnce(listen, id)).toEqual(['snapshot'])
    },
  )

  test('gets a snapshot where it names one that is yet to come', async () => {
    const { listen } = await open()
    const [{ id } = { id: '' }] = (await listenUntilTold(listen)).events
    expect(await toldAtOnce(listen, `${id?.split('-')[0]}-7`)).toEqual(['snapshot'])
  })
})

test('who listens before anything is known gets the snapshot when it comes', async () => {
  const { listen, publish } = await open({ knows: false })
  const listener = await listen()
  publish(changes({ a: 1 }))
  publish(snapshot())
  await eventually(() => expect(told(listener)).toEqual(['snapshot']))
})

test('a heartbeat comes where nothing else does', async () => {
  const { listen } = await open()
  const listener = await listen()
  await eventually(() => expect(listener.heartbeats()).toBeGreaterThan(2))
  expect(told(listener)).toEqual(['snapshot'])
})

test('the source is followed once for all, from the first listener until a while after the last', async () => {
  const { listen, source, url } = await open()
  expect(source).not.toHaveBeenCalled()
  const [one, other] = [await listen(), await listen()]
  expect(source).toHaveBeenCalledTimes(1)
  await one[Symbol.asyncDispose]()
  await other[Symbol.asyncDispose]()
  await eventually(async () => expect(await metric(url, /^event_stream_listeners /)).toBe(0))
  await listen()
  expect(source).toHaveBeenCalledTimes(1)
  expect(source.ended).toBe(0)
})

test('after that it is followed anew', async () => {
  const { listen, source } = await open()
  const first = await listenUntilTold(listen)
  await first[Symbol.asyncDispose]()
  await eventually(() => expect(source.ended).toBe(1))
  expect(await toldAtOnce(listen, first.events[0]?.id)).toEqual(['snapshot'])
  expect(source).toHaveBeenCalledTimes(2)
})

test('who does not read is cut off, and the others go on', async () => {
  const { listen, publish, url } = await open()
  const [slow, quick] = [await listenUntilTold(listen), await listenUntilTold(listen)]
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

test('who asks on a connection that is busy with another stream is no listener, of whom nobody would know when he leaves', async () => {
  const { url } = await open()
  const listeners = () => metric(url, /^event_stream_listeners /)
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write('GET /live HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(2))
  await eventually(async () => expect(await listeners()).toBe(1))
  socket.destroy()
  await eventually(async () => expect(await listeners()).toBe(0))
})

test('more listeners than there may be are told to come again', async () => {
  const { listen } = await open({ maxSubscribers: 2 })
  const [one] = [await listen(), await listen()]
  const refused = await listen()
  expect(refused.status).toBe(503)
  expect(refused.headers['retry-after']).toBe('1')
  await one[Symbol.asyncDispose]()
  await eventually(async () => expect((await listen()).status).toBe(200))
})

test('when the service stops, streams end at once, also those that are not read, and no other begins', async () => {
  const { listen, publish, stop, close } = await open()
  const [one, unread] = [await listenUntilTold(listen), await listenUntilTold(listen)]
  unread.pause()
  for (let n = 0; n < 50; n += 1) await publishMuch(publish, one)
  const since = performance.now()
  stop()
  await eventually(() => expect(one.hasEnded()).toBe(true))
  expect((await listen()).status).toBe(503)
  await close()
  expect(performance.now() - since).toBeLessThan(2_000)
})

test('a HEAD has the headers and no stream', async () => {
  const { url, source } = await open()
  const response = await fetch(`${url}/live`, { method: 'HEAD' })
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  expect(source).not.toHaveBeenCalled()
})

test('a stream is no request whose duration is measured', async () => {
  const { listen, url } = await open()
  const listener = await listenUntilTold(listen)
  await listener[Symbol.asyncDispose]()
  await eventually(async () => expect(await metric(url, /^event_stream_listeners /)).toBe(0))
  expect(await metric(url, /^http_server_request_duration_seconds_count\{.*"\/metrics"/)).toBeGreaterThan(0)
  expect(await metric(url, /^http_server_request_duration_seconds_count\{.*"\/live"/)).toBe(0)
})

/** A feed of what the test publishes, over a real server. */
async function open({ knows = true, maxSubscribers = 100 } = {}) {
  const stopping = new AbortController()
  const service = createTestService('test', stopping.signal)
  let publish: (event: LiveEvent) => void = () => {}
  const follow = vi.fn((given: typeof publish) => {
    publish = given
    if (knows) publish(snapshot())
    return () => {
      source.ended += 1
    }
  })
  const source = Object.assign(follow, { ended: 0 })
  const limits = { keepMs: KEEP_MS, heartbeatMs: HEARTBEAT_MS, maxSubscribers }
  const feed = createLiveFeed({ ...service, source, ...limits })
  const app = createBaseApp(service).get('/live', (c) => feed.answer(c))
  const server = stack.use(await serve(app, service, { port: 0, host: '127.0.0.1' }))
  return {
    url: server.url,
    source,
    publish: (event: LiveEvent) => publish(event),
    listen: async (lastEventId?: string) => stack.use(await listenLive(`${server.url}/live`, lastEventId)),
    stop: () => stopping.abort(),
    close: () => server[Symbol.asyncDispose](),
  }
}

function told({ events }: LiveListener): unknown[] {
  return events.map(({ event, data }) => (event === 'changes' ? (JSON.parse(data) as LiveChanges).assets : event))
}

type Publish = (event: LiveEvent) => void
type Listen = (lastEventId?: string) => Promise<LiveListener>

async function listenUntilTold(listen: Listen): Promise<LiveListener> {
  const listener = await listen()
  await eventually(() => expect(listener.events).not.toHaveLength(0))
  return listener
}

/** What a listener is told before the first heartbeat. */
async function toldAtOnce(listen: Listen, lastEventId?: string): Promise<unknown[]> {
  const listener = await listen(lastEventId)
  await eventually(() => expect(listener.heartbeats()).toBeGreaterThan(0))
  return told(listener)
}

function snapshot(): LiveEvent {
  return { event: 'snapshot', data: { views: 0, top: { assets: [], users: [] }, seconds: {} } }
}

function changes(assets: Record<string, number>): LiveEvent {
  return { event: 'changes', data: { views: 0, assets, users: {}, seconds: {} } }
}

/** As long an event as there is, which `listener` gets. */
function publishMuch(publish: Publish, listener: LiveListener): Promise<void> {
  return publishTo(listener, publish, changes(many('x'.repeat(100), MAX_LIVE_IDS)))
}

async function publishTo(listener: LiveListener, publish: Publish, event: LiveEvent): Promise<void> {
  const before = listener.events.length
  publish(event)
  await eventually(() => expect(listener.events.length).toBeGreaterThan(before))
}

function many(prefix: string, count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`${prefix}${n}`, 1]))
}
