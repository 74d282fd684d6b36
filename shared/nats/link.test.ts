import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { type NatsServer, natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import { startSocketServer } from '../../tests/harness/socket-server.ts'
import { startTcpProxy } from '../../tests/harness/tcp-proxy.ts'
import { sleep } from '../runtime/sleep.ts'
import { openNatsLink } from './link.ts'

/** The maximum time until a hang is detected. */
const DETECT_MS = 2_000

describe.skipIf(!natsVersion)('a link to NATS', () => {
  let stack: AsyncDisposableStack
  let nats: NatsServer
  let lines: { level: number; msg: string; reason?: string }[]
  beforeEach(async () => {
    stack = new AsyncDisposableStack()
    nats = stack.use(await startNatsServer())
    lines = []
  })
  afterEach(() => stack.disposeAsync())

  const messages = () => lines.map(({ msg }) => msg)

  function open(url: string) {
    const log = pino({}, { write: (line) => lines.push(JSON.parse(line)) })
    return stack.use(openNatsLink({ servers: [url], name: 'test', log }))
  }

  async function openUp(url: string) {
    const link = open(url)
    await link.up(AbortSignal.timeout(5_000))
    return link
  }

  test('an idle link is down within 2 s after the server hangs, and up within 2 s after it resumes', async () => {
    const link = await openUp(nats.url)
    const down = link.down()
    await nats.signal('SIGSTOP')
    await eventually(() => expect(link.state()).toBe('down'), DETECT_MS)
    expect(link.reason()).toBe('the server does not respond')
    expect(down.aborted).toBe(true)
    await nats.signal('SIGCONT')
    await eventually(() => expect(link.state()).toBe('up'), 2_000)
    expect(messages()).toEqual(['NATS is up', 'NATS is down', 'NATS is up'])
  })

  test('requests in flight fail promptly when the link goes down', async () => {
    const link = await openUp(nats.url)
    await nats.signal('SIGSTOP')
    const start = runningTime()
    await expect(link.connection().request('none', '', { timeout: 20_000 })).rejects.toThrow()
    expect(runningTime() - start).toBeLessThan(DETECT_MS)
  })

  test('a connection on which the server stays silent is closed and replaced', async () => {
    await using proxy = await startTcpProxy(nats.url)
    const link = await openUp(proxy.url)
    const lost = link.connection()
    proxy.silence()
    await eventually(() => expect(messages()).toEqual(['NATS is up', 'NATS is down', 'NATS is up']), 3_000)
    expect(link.connection()).not.toBe(lost)
    expect(lost.isClosed()).toBe(true)
    await link.connection().flush()
    expect(proxy.open()).toBe(1)
  })

  test('a connection attempt that hangs leaves no socket behind that could disturb the next connection', async () => {
    await using proxy = await startTcpProxy(nats.url)
    const print = vi.spyOn(console, 'log')
    const link = await openUp(proxy.url)
    const received = new Set<string>()
    link.onUp((connection) => {
      connection.subscribe('numbers', { callback: (_, message) => received.add(message.string()) })
    })
    proxy.hold()
    proxy.close()
    // A connection attempt times out after 2 s.
    await sleep(3_000)
    proxy.release()
    await link.up(AbortSignal.timeout(5_000))
    await nats.use(async (connection) => {
      for (let n = 0; n < 20_000; n += 1) {
        connection.publish('numbers', `${n}`.padStart(1_000, '0'))
        if (n % 100 === 0) await sleep(10)
      }
      await connection.flush()
    })
    await eventually(() => expect(received.size).toBe(20_000))
    expect(proxy.open()).toBe(1)
    expect(messages()).toEqual(['NATS is up', 'NATS is down', 'NATS is up'])
    expect(print).not.toHaveBeenCalled()
    print.mockRestore()
  })

  test('a server that accepts connections and then hangs is logged twice, not on each attempt', async () => {
    await using server = await startSocketServer((socket) => {
      socket.write('INFO {"server_id":"x","version":"2.9.0","max_payload":1048576}\r\n')
      socket.once('data', () => socket.write('PONG\r\n'))
    })
    const link = open(server.url.replace('http:', 'nats:'))
    // Each attempt opens two sockets, one for the greeting and one for the connection.
    await eventually(() => expect(server.connections()).toBeGreaterThan(6))
    await link[Symbol.asyncDispose]()
    expect(messages()).toEqual(['NATS is up', 'NATS is down', 'NATS is up', 'NATS is down'])
  })

  test('a pause in this process neither takes a healthy link down nor logs anything', async () => {
    const link = await openUp(nats.url)
    // Blocks the event loop.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_000)
    await sleep(1_500)
    expect(link.state()).toBe('up')
    expect(messages()).toEqual(['NATS is up'])
  })

  test('closing a link takes less than a second while the server hangs', async () => {
    const log = pino({ level: 'silent' })
    const link = openNatsLink({ servers: [nats.url], name: 'test', log })
    const connection = await link.up(AbortSignal.timeout(5_000))
    connection.subscribe('any')
    await nats.signal('SIGSTOP')
    connection.publish('any', 'x')
    const start = runningTime()
    await link[Symbol.asyncDispose]()
    expect(runningTime() - start).toBeLessThan(1_000)
    expect(connection.isClosed()).toBe(true)
  })

  test('messages that are published before the link closes are delivered', async () => {
    const received: string[] = []
    const receiver = await openUp(nats.url)
    receiver.connection().subscribe('last', { callback: (_, message) => received.push(message.string()) })
    await receiver.connection().flush()
    {
      await using sender = openNatsLink({ servers: [nats.url], name: 'sender', log: pino({ level: 'silent' }) })
      ;(await sender.up(AbortSignal.timeout(5_000))).publish('last', 'word')
    }
    await eventually(() => expect(received).toEqual(['word']))
  })

  test('no warning is logged if the server starts a few seconds late', async () => {
    await nats.signal('SIGKILL')
    const link = open(nats.url)
    await sleep(1_500)
    await nats.start()
    await link.up(AbortSignal.timeout(5_000))
    expect(lines).toMatchObject([{ level: 30, msg: 'NATS is up' }])
  })
})
