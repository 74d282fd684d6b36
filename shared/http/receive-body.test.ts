import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import { startHttpServer } from '../testing/http-server.ts'
import { createBodyReceiver } from './receive-body.ts'

test('a body counts against the limit until it is disposed, even after it has fully arrived', async () => {
  const handled = Promise.withResolvers<void>()
  const handler = createSlowHandler(3_000, handled.promise)
  await using server = await startHttpServer((incoming, response) => {
    handler.handle(incoming).then((status) => response.writeHead(status).end())
  })
  const post = async () => (await fetch(server.url, { method: 'POST', body: 'x'.repeat(1_000) })).status

  const first = [post(), post()]
  await eventually(() => expect(handler.inFlight()).toBe(2))
  expect(await post()).toBe(503)
  handled.resolve()
  expect(await Promise.all(first)).toEqual([200, 200])
  expect(await Promise.all([post(), post()])).toEqual([200, 200])
})

/** Holds each body until `handled` resolves. Returns the response status. */
function createSlowHandler(maxBytes: number, handled: Promise<void>) {
  const receive = createBodyReceiver(maxBytes)
  let inFlight = 0
  return {
    inFlight: () => inFlight,
    async handle(incoming: Parameters<typeof receive>[0]): Promise<number> {
      try {
        using received = await receive(incoming)
        // Wait until Node has emitted `close`.
        await setImmediate()
        inFlight += 1
        await handled
        return received.body.length === 1_000 ? 200 : 500
      } catch (error) {
        return error instanceof UnavailableError ? error.status : 500
      }
    },
  }
}
