import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createServiceClient } from '../shared/client/service-client.ts'
import type { LiveEvent } from '../shared/contracts/live.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { startHttpServer } from '../shared/testing/http-server.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { repeatAfterPause } from '../tests/harness/running-time.ts'
import { createLiveRelay } from './live-relay.ts'

const IDLE_TIMEOUT_MS = 500

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

test('events are relayed as they arrive', async () => {
  const { events } = await setUp([stream(event(1), event(2))])
  await eventually(() => expect(events.map(({ data }) => data.views)).toEqual([1, 2]))
})

test('a stream that ends is resumed after the last event received', async () => {
  const { events, lastEventIds } = await setUp([end(event(1), event(2)), stream(event(3))])
  await eventually(() => expect(events.map(({ data }) => data.views)).toEqual([1, 2, 3]))
  expect(lastEventIds).toEqual([undefined, 'epoch-2'])
})

test.each([
  ['returns 503', (response: ServerResponse) => response.writeHead(503).end('{}')],
  ['returns 404', (response: ServerResponse) => response.writeHead(404).end('{}')],
  ['closes the connection', (response: ServerResponse) => response.destroy()],
  ['sends invalid JSON', end('event: snapshot\ndata: {\n\n')],
  ['sends an event of unknown type', end('event: other\ndata: {}\n\n')],
  ['sends invalid data', end('event: changes\nid: epoch-9\ndata: {"views":"many"}\n\n')],
])('the relay reconnects to a reporting service that %s', async (_, handle) => {
  const { events, lastEventIds } = await setUp([handle, handle, stream(event(1))])
  await eventually(() => expect(events.map(({ data }) => data.views)).toEqual([1]))
  expect(lastEventIds).toEqual([undefined, undefined, undefined])
})

test.each([
  ['never responds', () => {}],
  ['responds and stays silent', stream()],
  ['falls silent', stream('event: snap')],
])('the relay reconnects to a reporting service that %s', async (_, handle) => {
  const { events } = await setUp([handle, stream(event(1))])
  await eventually(() => expect(events).toHaveLength(1))
})

test('a stream with only heartbeats stays open', async () => {
  await repeatAfterPause(async () => {
    const { lastEventIds } = await setUp([sendHeartbeats])
    await sleep(IDLE_TIMEOUT_MS * 3)
    expect(lastEventIds).toHaveLength(1)
  })
})

test('stopping the relay closes the connection', async () => {
  const closed = Promise.withResolvers<void>()
  const { events, stop, lastEventIds } = await setUp([
    (response) => {
      response.once('close', () => closed.resolve())
      sendHeartbeats(response)
    },
  ])
  await eventually(() => expect(events).toHaveLength(1))
  stop()
  await closed.promise
  expect(lastEventIds).toHaveLength(1)
})

/**
 * Relays a fake server's stream. The n-th handler serves the n-th request, and the last handler serves all later
 * requests.
 */
async function setUp(handlers: ((response: ServerResponse) => unknown)[]) {
  const lastEventIds: unknown[] = []
  const server = await startHttpServer((request, response) => {
    lastEventIds.push(request.headers['last-event-id'])
    handlers[Math.min(lastEventIds.length, handlers.length) - 1]?.(response)
  })
  stack.use(server)
  const reporting = stack.use(createServiceClient({ name: 'reporting', instances: () => [server.url] }))
  const events: LiveEvent[] = []
  const { log } = createTestService()
  const relay = createLiveRelay({ reporting, log, idleTimeoutMs: IDLE_TIMEOUT_MS, retryMs: 20 })
  const stop = relay((event) => events.push(event))
  stack.defer(stop)
  return { events, lastEventIds, stop }
}

/** Sends one event, and then heartbeats. */
function sendHeartbeats(response: ServerResponse) {
  stream(event(1))(response)
  const heartbeat = setInterval(() => response.write(':\n\n'), IDLE_TIMEOUT_MS / 4)
  response.once('close', () => clearInterval(heartbeat))
  stack.defer(() => clearInterval(heartbeat))
}

function stream(...texts: string[]) {
  return (response: ServerResponse) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    for (const text of texts) response.write(text)
  }
}

function end(...texts: string[]) {
  return (response: ServerResponse) => {
    stream(...texts)(response)
    response.end()
  }
}

function event(views: number): string {
  const data = { views, top: { assets: [], users: [] }, seconds: {} }
  return `id: epoch-${views}\nevent: snapshot\ndata: ${JSON.stringify(data)}\n\n`
}
