import type { IncomingMessage } from 'node:http'
import { finished } from 'node:stream/promises'
import { HTTPException } from 'hono/http-exception'
import { type ErrorDetails, UnavailableError } from '../runtime/unavailable-error.ts'

/** How long a body may take to arrive. */
const BODY_TIMEOUT_MS = 10_000
/** The memory that a chunk takes in addition to its data. This matters because a body may arrive byte by byte. */
const CHUNK_OVERHEAD_BYTES = 256

/**
 * Reads and discards a body, for up to 10 s. Without this, Hono's adapter would close the connection 500 ms after the
 * response, and a client that is still sending its body might miss the response.
 */
export async function discardBody(incoming: IncomingMessage): Promise<void> {
  incoming.resume()
  const signal = AbortSignal.timeout(BODY_TIMEOUT_MS)
  await finished(incoming, { signal, cleanup: true }).catch(() => undefined)
}

type ReceivedBody = Disposable & { body: Buffer }

/**
 * Receives bodies that take up to `maxBytes` of memory in total. Only bytes that have arrived count, and only until the
 * body is disposed. When there is no room, the body that has been arriving for the longest time is refused, so that
 * slow senders do not keep others out.
 *
 * The returned function throws UnavailableError with `details` if the body is refused. It throws HTTPException with
 * status 408 if the body takes too long, and with status 400 if the client aborts it.
 */
export function createBodyReceiver(
  maxBytes: number,
  details?: ErrorDetails,
): (incoming: IncomingMessage) => Promise<ReceivedBody> {
  const arriving = new Set<(error: Error) => void>()
  let held = 0

  function makeRoom(bytes: number): void {
    held += bytes
    for (const refuse of arriving) {
      if (held <= maxBytes) return
      refuse(new UnavailableError('too many bytes of request bodies in flight', { details }))
    }
  }

  return async (incoming) => {
    const received = Promise.withResolvers<Buffer>()
    const chunks: Buffer[] = []
    let ownBytes = 0

    function release(): void {
      held -= ownBytes
      ownBytes = 0
    }
    /** Removes the handlers, because Node emits `close` right after `end`, while the body is still in use. */
    function stop(): void {
      clearTimeout(timer)
      arriving.delete(refuse)
      incoming.off('data', onData).off('end', onEnd).off('close', onClose)
    }
    function refuse(error: Error): void {
      stop()
      chunks.length = 0
      release()
      received.reject(error)
    }
    function onData(chunk: Buffer): void {
      const bytes = chunk.length + CHUNK_OVERHEAD_BYTES
      chunks.push(chunk)
      ownBytes += bytes
      makeRoom(bytes)
    }
    function onEnd(): void {
      stop()
      const body = Buffer.concat(chunks)
      chunks.length = 0
      held -= ownBytes - body.length
      ownBytes = body.length
      received.resolve(body)
    }
    const onClose = () => refuse(new HTTPException(400, { message: 'the body is incomplete' }))

    const timer = setTimeout(() => refuse(new HTTPException(408)), BODY_TIMEOUT_MS)
    arriving.add(refuse)
    incoming.on('data', onData).once('end', onEnd).once('close', onClose)
    if (incoming.destroyed) onClose()
    return { body: await received.promise, [Symbol.dispose]: release }
  }
}
