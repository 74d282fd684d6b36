import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { fixed } from '../discovery/static.ts'
import { createServiceClient, type ServiceClient, UpstreamError } from './service-client.ts'

type Treat = (asked: number) => number | 'hang' | 'cut'

let stack = new AsyncDisposableStack()
afterEach(async () => {
  await stack.disposeAsync()
  stack = new AsyncDisposableStack()
})

test('instances share the calls', async () => {
  const [one, other] = [await startInstance(() => 200), await startInstance(() => 200)]
  const { get } = clientOf(one, other)
  for (let n = 0; n < 100; n += 1) await get()
  expect(one.asked() + other.asked()).toBe(100)
  expect(Math.min(one.asked(), other.asked())).toBeGreaterThan(20)
})

test('an instance that is busy gets no call while the other is not', async () => {
  const [busy, idle] = [await startInstance(() => 'hang'), await startInstance(() => 200)]
  const { client } = clientOf(busy, idle)
  const over = new AbortController()
  const calls: Promise<unknown>[] = []
  for (let n = 0; n < 30; n += 1) {
    let settled = false
    const before = busy.asked()
    const call = client.post('/', {}, { signal: over.signal }).catch(() => undefined)
    calls.push(call.then(() => (settled = true)))
    await eventually(() => expect(settled || busy.asked() > before).toBe(true))
  }
  expect(busy.asked()).toBe(1)
  over.abort()
  await Promise.all(calls)
})

test.each([503, 500, 'cut', 'hang'] as const)('where one instance answers %s a GET goes to the other', async (sick) => {
  const [bad, good] = [await startInstance(() => sick), await startInstance(() => 200)]
  const { get } = clientOf(bad, good)
  for (let n = 0; n < 20; n += 1) expect(await get()).toEqual({ status: 200, body: { port: good.port } })
  expect(bad.asked()).toBe(1)
})

test('an instance that failed is tried again after a second', async () => {
  const [back, good] = [await startInstance((n) => (n === 1 ? 503 : 200)), await startInstance(() => 200)]
  const { get } = clientOf(back, good)
  const since = performance.now()
  while (back.asked() < 2 && performance.now() - since < 5_000) await get()
  expect(performance.now() - since).toBeGreaterThan(990)
  expect(back.asked()).toBe(2)
})

test('a POST goes to another instance only where it may', async () => {
  const [bad, good] = [await startInstance(() => 503), await startInstance(() => 200)]
  const { client } = clientOf(bad, good)
  const { signal } = new AbortController()
  const posts = await Promise.allSettled(Array.from({ length: 40 }, () => client.post('/', {}, { signal })))
  expect(posts.filter(({ status }) => status === 'rejected')).toHaveLength(bad.asked())
  expect(bad.asked()).toBeGreaterThan(0)

  const [worse, better] = [await startInstance(() => 503), await startInstance(() => 200)]
  const again = clientOf(worse, better)
  const options = { signal, idempotent: true }
  for (let n = 0; n < 20; n += 1) expect(await again.client.post('/', {}, options)).toMatchObject({ status: 200 })
  expect(worse.asked()).toBe(1)
})

test('where all instances fail the call does, once each was asked', async () => {
  const instances = [await startInstance(() => 503), await startInstance(() => 'cut'), await startInstance(() => 500)]
  const { get } = clientOf(...instances)
  await expect(get()).rejects.toThrow(UpstreamError)
  expect(instances.map(({ asked }) => asked())).toEqual([1, 1, 1])
})

test('calls go to the instances that there are now', async () => {
  const [old, next] = [await startInstance(() => 200), await startInstance(() => 200)]
  let origins = [old.origin]
  const client = stack.use(createServiceClient({ name: 'moving', instances: () => origins }))
  const { get } = callsOf(client)
  await get()
  origins = [next.origin]
  expect(await get()).toMatchObject({ body: { port: next.port } })
  expect([old.asked(), next.asked()]).toEqual([1, 1])
})

test('a stream is read as it comes, from an instance that answers 200', async () => {
  const { client } = clientOf(await startInstance(() => 200))
  const stream = await client.stream('/', streaming())
  expect(JSON.parse(await text(stream))).toEqual({ port: expect.any(Number) })
})

test.each([503, 404, 'cut', 'hang'] as const)('there is no stream of an instance that answers %s', async (sick) => {
  const { client } = clientOf(await startInstance(() => sick))
  await expect(client.stream('/', streaming())).rejects.toThrow(UpstreamError)
})

function streaming() {
  return { signal: new AbortController().signal, headers: {}, silenceMs: 500 }
}

function clientOf(...instances: { origin: string }[]) {
  const client = createServiceClient({ name: 'test', instances: fixed(instances.map(({ origin }) => origin)) })
  return callsOf(stack.use(client))
}

function callsOf(client: ServiceClient) {
  return { client, get: () => client.get('/', { signal: new AbortController().signal }) }
}

/** An HTTP server that treats its n-th request as it is told to, and says which port it has. */
async function startInstance(treat: Treat) {
  let asked = 0
  const server = createServer((request, response) => {
    asked += 1
    const treatment = treat(asked)
    request.resume()
    if (treatment === 'cut') request.socket.destroy()
    if (typeof treatment === 'number') response.writeHead(treatment).end(JSON.stringify({ port }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  stack.defer(async () => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })
  return { origin: `http://127.0.0.1:${port}`, port, asked: () => asked }
}
