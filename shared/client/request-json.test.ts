import { getEventListeners } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Pool } from 'undici'
import { expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { sleep } from '../runtime/sleep.ts'
import { startHttpServer } from '../testing/http-server.ts'
import { requestJson } from './request-json.ts'

const never = new AbortController().signal

test('a body whose characters are split across chunks is read correctly', async () => {
  await using server = await start(async (response) => {
    const bytes = Buffer.from('{"title":"Métropolis"}')
    for (const byte of bytes) {
      response.write(Buffer.of(byte))
      await sleep(1)
    }
    response.end()
  })
  expect(await server.request(never)).toEqual({ status: 200, body: { title: 'Métropolis' } })
})

test.each([
  ['not JSON', SyntaxError, (response: ServerResponse) => response.end('{')],
  ['empty', SyntaxError, (response: ServerResponse) => response.end()],
  ['truncated', Error, (response: ServerResponse) => response.write('{}', () => response.destroy())],
])('a call fails if the response body is %s', async (_, error, respond) => {
  await using server = await start(respond)
  await expect(server.request(never)).rejects.toThrow(error)
})

test('an aborted call rejects with the abort reason, and its connection is closed', async () => {
  const closed = Promise.withResolvers<void>()
  await using server = await start((response) => response.on('close', closed.resolve))
  const controller = new AbortController()
  const call = server.request(controller.signal)
  await server.reached
  controller.abort(new Error('too late'))
  await expect(call).rejects.toThrow('too late')
  await closed.promise
  await expect(server.request(controller.signal)).rejects.toThrow('too late')
  expect(server.paths).toHaveLength(1)
})

test('a call that is aborted while it waits for a connection leaves the connection to the next call', async () => {
  const held: ServerResponse[] = []
  await using server = await start((response) => held.push(response))
  const first = server.request(never, '/first')
  const controller = new AbortController()
  const aborted = server.request(controller.signal, '/aborted')
  const last = server.request(never, '/last')
  await server.reached
  controller.abort(new Error('too late'))
  await expect(aborted).rejects.toThrow('too late')
  await expect(server.request(controller.signal, '/late')).rejects.toThrow('too late')
  held.pop()?.end('{}')
  expect(await first).toEqual({ status: 200, body: {} })
  await eventually(() => expect(held).toHaveLength(1))
  held.pop()?.end('{}')
  expect(await last).toEqual({ status: 200, body: {} })
  expect(server.paths).toEqual(['/first', '/last'])
  expect(server.connections()).toBe(1)
})

test('a call leaves no listener on its signal', async () => {
  await using server = await start((response) => response.end('{}'))
  const controller = new AbortController()
  await server.request(controller.signal)
  expect(getEventListeners(controller.signal, 'abort')).toEqual([])
})

/** A server, and a pool with one connection to it. */
async function start(respond: (response: ServerResponse) => unknown) {
  const reached = Promise.withResolvers<void>()
  const paths: string[] = []
  const sockets = new Set<object>()
  const server = await startHttpServer(({ url = '', socket }, response) => {
    paths.push(url)
    sockets.add(socket)
    reached.resolve()
    void respond(response)
  })
  const pool = new Pool(server.url, { connections: 1 })
  return {
    reached: reached.promise,
    paths,
    connections: () => sockets.size,
    request: (signal: AbortSignal, path = '/') => requestJson(pool, { method: 'GET', path, signal }),
    async [Symbol.asyncDispose]() {
      await pool.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}
