import { connect, type Socket } from 'node:net'
import { Hono } from 'hono'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { listen } from '../service/listen.ts'
import type { AppEnv } from './app-env.ts'
import { limitUnread } from './limit-unread.ts'

/** Larger than the kernel's socket buffers. */
const LARGE = 'x'.repeat(32 * 2 ** 20)
const MAX = 3

test('above the maximum, the connection with the oldest unread response is closed', async () => {
  await using stack = new AsyncDisposableStack()
  let served = 0
  const app = new Hono<AppEnv>().get('/', limitUnread(MAX), (c) => {
    served += 1
    return c.text(LARGE)
  })
  const at = { host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }) }
  const { port, url } = stack.use(await listen(app, at))
  const sockets: Socket[] = []
  for (let number = 1; number <= 2 * MAX; number += 1) {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    stack.defer(() => void socket.destroy())
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')
    sockets.push(socket)
    await eventually(() => expect(served).toBe(number))
  }
  const received = await Promise.all(sockets.map(countReceived))
  expect(received.map((bytes) => bytes > LARGE.length)).toEqual([false, false, false, true, true, true])
  // A client that reads gets its response, however many other clients do not read theirs.
  expect((await (await fetch(url)).text()).length).toBe(LARGE.length)
})

/** Reads until the response is complete, or the connection is closed. */
function countReceived(socket: Socket): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>()
  let bytes = 0
  socket.on('close', () => resolve(bytes))
  socket.on('data', (chunk) => {
    bytes += chunk.length
    if (bytes > LARGE.length) resolve(bytes)
  })
  return promise
}
