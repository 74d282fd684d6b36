import { Pool } from 'undici'
import type { z } from 'zod'
import type { DependencyState } from '../runtime/health.ts'

/** Another service did not answer, not in time, or not with what it should. `cause` says how. */
export class UpstreamError extends Error {
  override name = 'UpstreamError'
}

export type CallOptions = { signal: AbortSignal; requestId?: string | undefined }

export type Answer = { status: number; body: unknown }

/** HTTP to the instances of one service, over connections that stay open. */
export type ServiceClient = AsyncDisposable & {
  name: string
  /** @throws UpstreamError where no answer below 500 came */
  get(path: string, options: CallOptions): Promise<Answer>
  /** @throws UpstreamError where no answer below 500 came */
  post(path: string, body: unknown, options: CallOptions): Promise<Answer>
  /** Asks `/healthz`. */
  state(): Promise<DependencyState>
}

const CONNECTIONS = 64
const STATE_TIMEOUT_MS = 300

/** @param instances origins, used in turn */
export function createServiceClient({ name, instances }: { name: string; instances: string[] }): ServiceClient {
  const pools = instances.map((origin) => new Pool(origin, { connections: CONNECTIONS }))
  let turn = 0

  async function call(method: 'GET' | 'POST', path: string, body: string | null, { signal, requestId }: CallOptions) {
    turn = (turn + 1) % pools.length
    const pool = pools[turn] as Pool
    try {
      const headers = {
        ...(body && { 'content-type': 'application/json' }),
        ...(requestId && { 'x-request-id': requestId }),
      }
      const response = await pool.request({ method, path, body, headers, signal })
      const answer = { status: response.statusCode, body: await response.body.json() }
      if (answer.status >= 500) throw new Error(`it answered ${answer.status}`)
      return answer
    } catch (cause) {
      throw new UpstreamError(`${name}: ${method} ${path} failed`, { cause })
    }
  }

  return {
    name,
    get: (path, options) => call('GET', path, null, options),
    post: (path, body, options) => call('POST', path, JSON.stringify(body), options),
    async state() {
      const signal = AbortSignal.timeout(STATE_TIMEOUT_MS)
      return call('GET', '/healthz', null, { signal }).then(
        () => 'up',
        () => 'down',
      )
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(pools.map((pool) => pool.destroy()))
    },
  }
}

/**
 * The body of an answer with a given status.
 * @throws UpstreamError for another status or another shape
 */
export function expectBody<Schema extends z.ZodType>(
  { status, body }: Answer,
  expected: number,
  schema: Schema,
): z.output<Schema> {
  if (status !== expected) throw new UpstreamError(`answered ${status}, not ${expected}`)
  const parsed = schema.safeParse(body)
  if (!parsed.success) throw new UpstreamError('answered with another shape than agreed', { cause: parsed.error })
  return parsed.data
}
