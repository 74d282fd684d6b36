import type { Readable } from 'node:stream'
import { eject, type Instance } from './balancer.ts'

export type StreamOptions = {
  signal: AbortSignal
  headers: Record<string, string>
  /** How long the stream may be idle before the connection is considered dead. */
  idleTimeoutMs: number
}

/** The instance refused the stream, for example because it is at its subscriber limit. This does not eject it. */
class RefusedError extends Error {
  override name = 'RefusedError'
}

/**
 * Opens a stream, and returns the body of the 200 response. Throws for any other status. Reading the body throws if the
 * connection is lost.
 */
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
