import type { IncomingHttpHeaders } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { z } from 'zod'
import { eventually } from '../../tests/harness/eventually.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import { toSecret } from '../runtime/secret.ts'
import { startHttpServer } from '../testing/http-server.ts'
import { parseTraceparent } from '../tracing/trace-context.ts'
import { nonRecordingTracing } from '../tracing/tracing.ts'
import { createServiceClient, expectBody, type ServiceClient, UpstreamError } from './service-client.ts'

/** An instance's behaviour on its n-th request: returns a status, hangs, or closes the connection. */
type Behaviour = (n: number) => number | 'hang' | 'cut'

type Received = { method: string; headers: IncomingHttpHeaders; body: string }

/** How long an ejection lasts. */
const EJECTION_MS = 1_000

let stack = new AsyncDisposableStack()
afterEach(async () => {
  await stack.disposeAsync()
  stack = new AsyncDisposableStack()
})

test('calls are load-balanced across the instances', async () => {
  const [one, other] = [await startInstance(() => 200), await startInstance(() => 200)]
  const { get } = createClient(one, other)
  for (let n = 0; n < 100; n += 1) await get()
  expect(one.requests() + other.requests()).toBe(100)
  expect(Math.min(one.requests(), other.requests())).toBeGreaterThan(20)
})

test('of two instances, the one with fewer calls in flight is picked', async () => {
  const [busy, idle] = [await startInstance(() => 'hang'), await startInstance(() => 200)]
  const { client } = createClient(busy, idle)
  const over = new AbortController()
  const calls: Promise<unknown>[] = []
  for (let n = 0; n < 30; n += 1) {
    let settled = false
    const before = busy.requests()
    const call = client.post('/', {}, { signal: over.signal }).catch(() => undefined)
    calls.push(call.then(() => (settled = true)))
    await eventually(() => expect(settled || busy.requests() > before).toBe(true))
  }
  expect(busy.requests()).toBe(1)
  over.abort()
  await Promise.all(calls)
})

test.each([503, 500, 'cut', 'hang'] as const)('a GET fails over if an instance fails with %s', async (failure) => {
  const [bad, good] = [await startInstance(() => failure), await startInstance(() => 200)]
  const { get } = createClient(bad, good)
  for (let n = 0; n < 20; n += 1) expect(await get()).toEqual({ status: 200, body: { port: good.port } })
  expect(bad.requests()).toBe(1)
})

test('a response with a status below 500 is not a failure', async () => {
  const instance = await startInstance(() => 499)
  expect(await createClient(instance).get()).toMatchObject({ status: 499 })
})

test('an ejected instance is called again after a second', async () => {
  const [recovering, good] = [await startInstance((n) => (n === 1 ? 503 : 200)), await startInstance(() => 200)]
  const { get } = createClient(recovering, good)
  const start = performance.now()
  const runningStart = runningTime()
  while (recovering.requests() < 2 && runningTime() - runningStart < 5_000) await get()
  expect(performance.now() - start).toBeGreaterThan(990)
  expect(runningTime() - runningStart).toBeLessThan(3_000)
  expect(recovering.requests()).toBe(2)
})

test('an instance gets its share of calls again as soon as its probe succeeds', async () => {
  const [recovering, good] = [await startInstance((n) => (n === 1 ? 503 : 200)), await startInstance(() => 200)]
  const { get } = createClient(recovering, good)
  await eventually(async () => {
    await get()
    expect(recovering.requests()).toBe(2)
  })
  for (let n = 0; n < 50; n += 1) await get()
  expect(recovering.requests()).toBeGreaterThan(10)
})

test('after an ejection, only one call at a time probes the instance', async () => {
  const [hanging, good] = [await startInstance((n) => (n === 1 ? 503 : 'hang')), await startInstance(() => 200)]
  const { client, get } = createClient(hanging, good)
  await eventually(async () => {
    await get()
    expect(hanging.requests()).toBe(1)
  })
  await sleep(EJECTION_MS + 20)
  const over = new AbortController()
  const posts = Array.from({ length: 40 }, () => client.post('/', {}, { signal: over.signal }))
  await eventually(() => expect(hanging.requests() + good.requests()).toBeGreaterThan(40))
  expect(hanging.requests()).toBe(2)
  over.abort()
  await Promise.allSettled(posts)
})

test('ejected instances are called if there are no others', async () => {
  const instance = await startInstance((n) => (n === 1 ? 503 : 200))
  const { get } = createClient(instance)
  await expect(get()).rejects.toThrow(UpstreamError)
  expect(await get()).toMatchObject({ status: 200 })
})

test('a POST fails over only if it is idempotent', async () => {
  const [bad, good] = [await startInstance(() => 503), await startInstance(() => 200)]
  const { client } = createClient(bad, good)
  const { signal } = new AbortController()
  const posts = await Promise.allSettled(Array.from({ length: 40 }, () => client.post('/', {}, { signal })))
  expect(posts.filter(({ status }) => status === 'rejected')).toHaveLength(bad.requests())
  expect(bad.requests()).toBeGreaterThan(0)

  const [worse, better] = [await startInstance(() => 503), await startInstance(() => 200)]
  const again = createClient(worse, better)
  const options = { signal, idempotent: true }
  for (let n = 0; n < 20; n += 1) expect(await again.client.post('/', {}, options)).toMatchObject({ status: 200 })
  expect(worse.requests()).toBe(1)
})

test('a call fails once every instance has failed', async () => {
  const instances = [await startInstance(() => 503), await startInstance(() => 'cut'), await startInstance(() => 500)]
  const { get } = createClient(...instances)
  for (let n = 1; n <= 5; n += 1) {
    await expect(get()).rejects.toThrow(UpstreamError)
    expect(instances.map(({ requests }) => requests())).toEqual([n, n, n])
  }
})

test('a call that is aborted does not fail over', async () => {
  const [one, other] = [await startInstance(() => 'hang'), await startInstance(() => 'hang')]
  const { client } = createClient(one, other)
  await expect(client.get('/', { signal: AbortSignal.timeout(50) })).rejects.toThrow(UpstreamError)
  expect(one.requests() + other.requests()).toBe(1)
})

test('an attempt gets its own, shorter timeout only if another instance is left to try', async () => {
  const instances = [await startInstance(() => 200, { delayMs: 300 }), await startInstance(() => 200, { delayMs: 300 })]
  expect(await createClient(...instances).get()).toMatchObject({ status: 200 })
  expect(instances.map(({ requests }) => requests())).toEqual([1, 1])
})

test('a call fails if there are no instances', async () => {
  const { client, get } = createClient()
  await expect(get()).rejects.toThrow('test: GET / failed')
  await expect(client.stream('/', streamOptions())).rejects.toThrow('test: streaming / failed')
})

test('calls go to the current instances after the list changes', async () => {
  const [old, next] = [await startInstance(() => 200), await startInstance(() => 200)]
  let origins = [old.origin]
  const client = stack.use(createServiceClient({ name: 'moving', instances: () => origins }))
  const { get } = callsOf(client)
  await get()
  origins = [next.origin]
  expect(await get()).toMatchObject({ body: { port: next.port } })
  expect([old.requests(), next.requests()]).toEqual([1, 1])
})

test('an ejected instance stays ejected when another instance joins', async () => {
  const [bad, good] = [await startInstance(() => 503), await startInstance(() => 200)]
  let origins = [bad.origin]
  const client = stack.use(createServiceClient({ name: 'growing', instances: () => origins }))
  const { get } = callsOf(client)
  await expect(get()).rejects.toThrow(UpstreamError)
  origins = [bad.origin, good.origin]
  for (let n = 0; n < 20; n += 1) await get()
  expect(bad.requests()).toBe(1)
})

test('a call sends its request id and trace context as headers, and a write also sends the token', async () => {
  const instance = await startInstance(() => 200)
  const instances = () => origins
  const origins = [instance.origin]
  const client = stack.use(createServiceClient({ name: 'test', instances, token: toSecret('secret') }))
  const { signal } = new AbortController()
  const parent = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'vendor=1' }
  const span = nonRecordingTracing.start('work', parent)
  await client.post('/', { a: 1 }, { signal, requestId: 'request-1', span })
  expect(instance.last()).toMatchObject({
    method: 'POST',
    body: '{"a":1}',
    headers: {
      authorization: 'Bearer secret',
      'content-type': 'application/json',
      'x-request-id': 'request-1',
      ...parent,
    },
  })
  await client.get('/', { signal })
  const { headers } = instance.last()
  expect(parseTraceparent(String(headers.traceparent))).toMatchObject({ isSampled: false })
  const absent = ['content-type', 'x-request-id', 'tracestate', 'authorization']
  for (const name of absent) expect(headers).not.toHaveProperty(name)
  for (const read of [client.state, client.instances]) {
    await read()
    expect(instance.last().headers).not.toHaveProperty('authorization')
  }
})

test('without a token, calls have no authorization header', async () => {
  const instance = await startInstance(() => 200)
  await createClient(instance).get()
  expect(instance.last().headers).not.toHaveProperty('authorization')
})

test.each([
  [200, 'up'],
  [404, 'up'],
  [503, 'down'],
  ['hang', 'down'],
] as const)('the state of a service whose /healthz returns %s is %s', async (behaviour, state) => {
  const { client } = createClient(await startInstance(() => behaviour))
  const start = runningTime()
  expect(await client.state()).toBe(state)
  expect(runningTime() - start).toBeLessThan(1_000)
})

test('a stream is read as it arrives if the instance returns 200', async () => {
  const { client } = createClient(await startInstance(() => 200))
  const stream = await client.stream('/', streamOptions())
  expect(JSON.parse(await text(stream))).toEqual({ port: expect.any(Number) })
})

test.each([503, 404, 'cut', 'hang'] as const)(
  'a stream cannot be opened if the instance fails with %s',
  async (failure) => {
    const { client } = createClient(await startInstance(() => failure))
    await expect(client.stream('/', streamOptions())).rejects.toThrow(UpstreamError)
  },
)

test.each([
  ['cut', 1, 10],
  // Instances are picked at random, so the failing instance almost certainly gets at least two of 40 streams.
  [503, 40, 40],
] as const)('an instance that fails with %s gets at most %d of %d streams', async (failure, most, streams) => {
  const [bad, good] = [await startInstance(() => failure), await startInstance(() => 200)]
  const { client } = createClient(bad, good)
  for (let n = 0; n < streams; n += 1) {
    const stream = await client.stream('/', streamOptions()).catch(() => undefined)
    if (stream) await text(stream)
  }
  expect(bad.requests()).toBeLessThanOrEqual(most)
  if (most > 1) expect(bad.requests()).toBeGreaterThan(1)
})

test('expectBody returns the parsed body of a response with the expected status', () => {
  const Body = z.object({ a: z.number() })
  expect(expectBody({ status: 200, body: { a: 1, b: 2 } }, 200, Body)).toEqual({ a: 1 })
  expect(() => expectBody({ status: 404, body: { a: 1 } }, 200, Body)).toThrow('returned 404 instead of 200')
  expect(() => expectBody({ status: 200, body: {} }, 200, Body)).toThrow(UpstreamError)
})

function streamOptions() {
  return { signal: new AbortController().signal, headers: {}, idleTimeoutMs: 500 }
}

function createClient(...instances: { origin: string }[]) {
  const origins = instances.map(({ origin }) => origin)
  return callsOf(stack.use(createServiceClient({ name: 'test', instances: () => origins })))
}

function callsOf(client: ServiceClient) {
  return { client, get: () => client.get('/', { signal: new AbortController().signal }) }
}

/** An HTTP server with scripted behaviour, which responds with its port. */
async function startInstance(behaviour: Behaviour, { delayMs = 0 } = {}) {
  let requests = 0
  let last: Received = { method: '', headers: {}, body: '' }
  const { port, url } = stack.use(
    await startHttpServer(async (request, response) => {
      requests += 1
      const behaves = behaviour(requests)
      if (behaves === 'cut') return request.socket.destroy()
      last = { method: String(request.method), headers: request.headers, body: await text(request) }
      if (behaves === 'hang') return
      if (delayMs > 0) await sleep(delayMs)
      response.writeHead(behaves).end(JSON.stringify({ port: request.socket.localPort }))
    }),
  )
  return { origin: url, port, requests: () => requests, last: () => last }
}
