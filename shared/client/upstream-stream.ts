import type { Readable } from 'node:stream'
import { eject, type Instance } from './balancer.ts'

export type StreamOptions = {
  signal: AbortSignal
  headers: Record<string, string>
  /** How long the stream may be idle before the connection is considered dead. */
  idleTimeoutMs: number
}

/** The instance responded without a stream, for example at its subscriber limit. It is not ejected. */
class RefusedError extends Error {
  override name = 'RefusedError'
}

/** The body of a streaming 200 response. Throws for any other status; reading throws if the connection is lost. */
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
