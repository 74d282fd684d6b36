import type { Readable } from 'node:stream'
import { type Instance, leaveOut } from './balancer.ts'

export type StreamOptions = {
  signal: AbortSignal
  headers: Record<string, string>
  /** How long nothing may come before the other side is taken for dead. */
  silenceMs: number
}

/** It answers, but not with a stream: who has listeners enough goes on with everything else. */
class RefusedError extends Error {
  override name = 'RefusedError'
}

/** The body of an answer 200 that goes on. Throws where there is none; reading it throws where it breaks off. */
export async function openStream(instance: Instance, path: string, options: StreamOptions): Promise<Readable> {
  const { signal, headers, silenceMs } = options
  const timeouts = { headersTimeout: silenceMs, bodyTimeout: silenceMs }
  try {
    const { statusCode, body } = await instance.pool.request({ method: 'GET', path, headers, signal, ...timeouts })
    instance.leftOutUntil = 0
    if (statusCode === 200) return body
    await body.dump()
    throw new RefusedError(`it answered ${statusCode}`)
  } catch (error) {
    if (!(error instanceof RefusedError)) leaveOut(instance)
    throw error
  }
}
