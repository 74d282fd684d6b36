import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createServiceClient } from '../shared/client/service-client.ts'
import type { LiveEvent } from '../shared/contracts/live.ts'
import { fixed } from '../shared/discovery/static.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { createLiveRelay } from './live-relay.ts'

const SILENCE_MS = 1_000

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

test('events are passed on as they come', async () => {
  const { told } = await open([stream(event(1), event(2))])
  await eventually(() => expect(told.map(({ data }) => data.views)).toEqual([1, 2]))
})

test('a stream that ends is opened again, with the last event that was seen', async () => {
  const { told, asked } = await open([end(event(1), event(2)), stream(event(3))])
  await eventually(() => expect(told.map(({ data }) => data.views)).toEqual([1, 2, 3]))
  expect(asked).toEqual([undefined, 'epoch-2'])
})

test.each([
  ['answers 503', (response: ServerResponse) => response.writeHead(503).end('{}')],
  ['answers 404', (response: ServerResponse) => response.writeHead(404).end('{}')],
  ['cuts the connection', (response: ServerResponse) => response.destroy()],
  ['sends what is no JSON', end('event: snapshot\ndata: {\n\n')],
  ['sends another event', end('event: other\ndata: {}\n\n')],
  ['sends other data', end('event: changes\nid: epoch-9\ndata: {"views":"many"}\n\n')],
])('a reporting that %s is asked again', async (_, treat) => {
  const { told, asked } = await open([treat, treat, stream(event(1))])
  await eventually(() => expect(told.map(({ data }) => data.views)).toEqual([1]))
  expect(asked).toEqual([undefined, undefined, undefined])
})

test.each([
  ['never answers', () => {}],
  ['answers and is silent', stream()],
  ['falls silent', stream('event: snap')],
])('a reporting that %s is asked again', async (_, treat) => {
  const { told } = await open([treat, stream(event(1))])
  await eventually(() => expect(told).toHaveLength(1))
})

test('one that has nothing to tell but heartbeats is not', async () => {
  const { asked } = await open([beat])
  const since = performance.now()
  await eventually(() => expect(performance.now() - since).toBeGreaterThan(SILENCE_MS * 3))
  expect(asked).toHaveLength(1)
})

test('once it ends the connection is closed', async () => {
  const closed = Promise.withResolvers<void>()
  const { told, end, asked } = await open([
    (response) => {
      response.once('close', () => closed.resolve())
      beat(response)
    },
  ])
  await eventually(() => expect(told).toHaveLength(1))
  end()
  await closed.promise
  expect(asked).toHaveLength(1)
})

/** A relay of a server that treats its n-th request as it is told to, and the last and all after it alike. */
async function open(treatments: ((response: ServerResponse) => unknown)[]) {
  const asked: unknown[] = []
  const server = createServer((request, response) => {
    asked.push(request.headers['last-event-id'])
    treatments[Math.min(asked.length, treatments.length) - 1]?.(response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(async () => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })
  const { port } = server.address() as AddressInfo
  const reporting = stack.use(
    createServiceClient({ name: 'reporting', instances: fixed([`http://127.0.0.1:${port}`]) }),
  )
  const told: LiveEvent[] = []
  const relay = createLiveRelay({ reporting, log: createTestService().log, silenceMs: SILENCE_MS })
  const end = relay((event) => told.push(event))
  stack.defer(end)
  return { told, asked, end }
}

/** Tells of one event, and then of being alive. */
function beat(response: ServerResponse) {
  stream(event(1))(response)
  const beating = setInterval(() => response.write(':\n\n'), SILENCE_MS / 4)
  response.once('close', () => clearInterval(beating))
  stack.defer(() => clearInterval(beating))
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
