import { once } from 'node:events'
import { connect } from 'node:net'
import { Hono } from 'hono'
import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import type { Registration } from '../discovery/discovery.ts'
import { createStaticDiscovery } from '../discovery/static.ts'
import { UsageError } from '../runtime/command-line.ts'
import { useFakeClock } from '../testing/fake-clock.ts'
import { choosePort, ListenError, listen, toListenError } from './listen.ts'
import { serve } from './serve.ts'
import { createService, stopped } from './service.ts'

const log = pino({ level: 'silent' })
const never = new AbortController().signal

test('port 0 selects a free port', async () => {
  expect(await choosePort(8_080, '127.0.0.1')).toBe(8_080)
  const port = await choosePort(0, '127.0.0.1')
  const lines: object[] = []
  const log = pino({}, { write: (line) => lines.push(JSON.parse(line)) })
  await using server = await listen(new Hono(), { host: '127.0.0.1', port, log })
  expect(server).toMatchObject({ port, url: `http://127.0.0.1:${port}` })
  expect(lines).toMatchObject([{ level: 30, msg: 'listening', url: server.url }])
})

test('listening on a port in use throws an error that names the port', async () => {
  await using server = await listen(new Hono(), { host: '127.0.0.1', port: 0, log })
  const listening = listen(new Hono(), { host: '127.0.0.1', port: server.port, log })
  await expect(listening).rejects.toThrow(ListenError)
  await expect(listening).rejects.toThrow(`port ${server.port} on 127.0.0.1 is already in use`)
})

test('servers can share a port, but only if each of them sets reusePort', async () => {
  const hosts = { host: '127.0.0.1', log }
  await using first = await listen(new Hono(), { ...hosts, port: 0, reusePort: true })
  const { port } = first
  await using second = await listen(new Hono(), { ...hosts, port, reusePort: true })
  expect(second.url).toBe(first.url)
  await expect(listen(new Hono(), { ...hosts, port })).rejects.toThrow(`port ${port} on 127.0.0.1 is already in use`)
  await using alone = await listen(new Hono(), { ...hosts, port: 0 })
  await expect(listen(new Hono(), { ...hosts, port: alone.port, reusePort: true })).rejects.toThrow(
    `port ${alone.port} on 127.0.0.1 is already in use by a process that does not share it`,
  )
})

test('sharing a port on a platform without support for it is a usage error', () => {
  const error = Object.assign(new Error('listen ENOTSUP'), { code: 'ENOTSUP' })
  const at = { host: '127.0.0.1', port: 80 }
  expect(toListenError(error, { ...at, reusePort: true })).toEqual(
    new UsageError('REUSE_PORT is set, but this platform cannot share a port'),
  )
  expect(toListenError(error, at)).toEqual(new ListenError('cannot listen on 127.0.0.1, port 80: ENOTSUP'))
})

test("listening on another machine's address throws an error that names the address", async () => {
  await expect(listen(new Hono(), { host: '192.0.2.1', port: 1, log })).rejects.toThrow(
    'cannot listen on 192.0.2.1, port 1: EADDRNOTAVAIL',
  )
})

test('closing a server lets requests in flight finish, and closes idle connections immediately', async () => {
  const finish = Promise.withResolvers<void>()
  let inFlight = 0
  const app = new Hono()
    .get('/', (c) => c.body('done'))
    .get('/slow', async (c) => {
      inFlight += 1
      await finish.promise
      return c.body('done')
    })
  const server = await listen(app, { host: '127.0.0.1', port: 0, log })
  const idle = connect(server.port, '127.0.0.1')
  idle.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n')
  await once(idle, 'data')
  const slow = fetch(`${server.url}/slow`)
  await eventually(() => expect(inFlight).toBe(1))
  const start = runningTime()
  const disposal = server[Symbol.asyncDispose]()
  idle.resume()
  await once(idle, 'close')
  await expect(fetch(server.url)).rejects.toThrow()
  finish.resolve()
  expect(await (await slow).text()).toBe('done')
  await disposal
  expect(runningTime() - start).toBeLessThan(2_000)
})

test('closing a server closes connections that are still busy after five seconds', async () => {
  let inFlight = 0
  const app = new Hono().get('/', () => {
    inFlight += 1
    return new Promise<Response>(() => {})
  })
  const server = await listen(app, { host: '127.0.0.1', port: 0, log })
  const busy = expect(fetch(server.url)).rejects.toThrow()
  await eventually(() => expect(inFlight).toBe(1))
  useFakeClock()
  let isClosed = false
  const disposal = server[Symbol.asyncDispose]().then(() => {
    isClosed = true
  })
  await vi.advanceTimersByTimeAsync(4_999)
  await new Promise(setImmediate)
  expect(isClosed).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  await Promise.all([disposal, busy])
})

test('a service is registered once it listens, and deregistered before it stops listening', async () => {
  const registrations: Registration[] = []
  const events: string[] = []
  const discovery = {
    ...createStaticDiscovery(),
    state: () => 'up' as const,
    register(registration: Registration) {
      registrations.push(registration)
      return {
        async [Symbol.asyncDispose]() {
          const isListening = await fetch(`http://127.0.0.1:${registration.port}/`).then(
            () => true,
            () => false,
          )
          events.push(isListening ? 'deregistered while it listened' : 'deregistered too late')
        },
      }
    },
  }
  const service = createService({ name: 'test', log, stopping: never, discovery })
  const { port, url } = await serve(new Hono(), service, { PORT: 0, HOST: '127.0.0.1' })
  expect((await fetch(url)).status).toBe(404)
  expect(registrations).toMatchObject([{ name: 'test', host: '127.0.0.1', port }])
  expect(await registrations[0]?.isReady()).toBe(true)
  service.health.watch('nats', { state: () => 'down', required: true })
  expect(await registrations[0]?.isReady()).toBe(false)
  expect(await service.health.readiness()).toMatchObject({ dependencies: { consul: 'up', nats: 'down' } })
  await service.resources.disposeAsync()
  expect(events).toEqual(['deregistered while it listened'])
  await expect(fetch(url)).rejects.toThrow()
})

test('a service is ready while the registry is down', async () => {
  const discovery = { ...createStaticDiscovery(), state: () => 'down' as const }
  const { health } = createService({ name: 'test', log, stopping: never, discovery })
  expect(await health.readiness()).toMatchObject({ status: 'ready', dependencies: { consul: 'down' } })
})

test('a service stops when its signal aborts', async () => {
  const stopping = new AbortController()
  let isStopped = false
  const waiting = stopped({ stopping: stopping.signal }).then(() => (isStopped = true))
  await new Promise(setImmediate)
  expect(isStopped).toBe(false)
  stopping.abort()
  await waiting
  await stopped({ stopping: stopping.signal })
})

test('a dependency may be required conditionally, and may have a circuit', async () => {
  const { health } = createService({ name: 'test', log, stopping: never })
  let isRequired = true
  health.watch('nats', { state: () => 'down', required: () => isRequired, circuit: () => 'half-open' })
  expect(await health.readiness()).toMatchObject({
    status: 'not ready',
    dependencies: { nats: 'down' },
    circuits: { nats: 'half-open' },
  })
  isRequired = false
  expect(await health.readiness()).toMatchObject({ status: 'ready' })
})
