import type { Readable } from 'node:stream'
import { eject, type Instance } from './balancer.ts'

export type StreamOptions = {
  signal: AbortSignal
  headers: Record<string, string>
  /** How long the stream may be silent before its connection counts as dead. */
  idleTimeoutMs: number
}

/** The instance responded, but not with a stream. It may have reached its limit of subscribers, and is not ejected. */
class RefusedError extends Error {
  override name = 'RefusedError'
}

/** The body of a streaming 200 response. Throws if there is none; reading it throws if it is cut off. */
export async function openStream(instance: Instance, path: string, options: StreamOptions): Promise<Readable> {
  const { signal, headers, idleTimeoutMs } = options
  const timeouts = { headersTimeout: idleTimeoutMs, bodyTimeout: idleTimeoutMs }
  try {
    const { statusCode, body } = await instance.pool.request({ method: 'GET', path, headers, signal, ...timeouts })
    instance.ejectedUntil = 0
    if (statusCode === 200) return body
    await body.dump()
    throw new RefusedError(`it returned ${statusCode}`)
  } catch (error) {
    if (!(error instanceof RefusedError)) eject(instance)
    throw error
  }
}
