import type { ServerResponse } from 'node:http'
import { Pool } from 'undici'
import { expect, test } from 'vitest'
import { sleep } from '../runtime/sleep.ts'
import { startHttpServer } from '../testing/http-server.ts'
import { requestJson } from './request-json.ts'

const never = new AbortController().signal

test('a body is read whose characters are split across chunks', async () => {
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
  ['cut off', Error, (response: ServerResponse) => response.write('{}', () => response.destroy())],
])('a body that is %s is an error', async (_, error, respond) => {
  await using server = await start(respond)
  await expect(server.request(never)).rejects.toThrow(error)
})

test('an aborted call rejects with the reason, and its connection is closed', async () => {
  const closed = Promise.withResolvers<void>()
  await using server = await start((response) => response.on('close', closed.resolve))
  const controller = new AbortController()
  const call = server.request(controller.signal)
  await server.reached
  controller.abort(new Error('too late'))
  await expect(call).rejects.toThrow('too late')
  await closed.promise
  await expect(server.request(controller.signal)).rejects.toThrow('too late')
})

test('a call that waits for a connection rejects as soon as it is aborted, and is never sent', async () => {
  const held = Promise.withResolvers<ServerResponse>()
  await using server = await start((response) => held.resolve(response))
  const first = server.request(never)
  const controller = new AbortController()
  const waiting = server.request(controller.signal)
  const response = await held.promise
  controller.abort(new Error('too late'))
  await expect(waiting).rejects.toThrow('too late')
  response.end('{}')
  expect(await first).toEqual({ status: 200, body: {} })
  const last = server.request(never)
  await expect.poll(server.requests).toBe(2)
  await server.disconnect()
  await expect(last).rejects.toThrow()
})

/** A server, and a pool with one connection to it. */
async function start(respond: (response: ServerResponse) => unknown) {
  const reached = Promise.withResolvers<void>()
  let requests = 0
  const server = await startHttpServer((_, response) => {
    requests += 1
    reached.resolve()
    void respond(response)
  })
  const pool = new Pool(server.url, { connections: 1 })
  return {
    reached: reached.promise,
    requests: () => requests,
    request: (signal: AbortSignal) => requestJson(pool, { method: 'GET', path: '/', signal }),
    disconnect: () => pool.destroy(),
    async [Symbol.asyncDispose]() {
      await pool.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}
