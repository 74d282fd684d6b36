import type { Readable } from 'node:stream'
import type { z } from 'zod'
import type { Instances } from '../discovery/discovery.ts'
import type { DependencyState } from '../runtime/health.ts'
import type { TraceContext } from '../tracing/trace-context.ts'
import { beginUnrecorded, type RequestContext } from '../tracing/tracing.ts'
import { createBalancer, type Instance, leaveOut } from './balancer.ts'
import { openStream, type StreamOptions } from './upstream-stream.ts'

/** Another service did not answer, not in time, or not with what it should. `cause` says how. */
export class UpstreamError extends Error {
  override name = 'UpstreamError'
}

/** On whose behalf, if anybody's, and how. */
export type CallOptions = Partial<RequestContext> & {
  signal: AbortSignal
  /** Other work that waits for the answer. */
  links?: TraceContext[] | undefined
  /** Whether another instance may be asked where one fails. A GET always is. */
  idempotent?: boolean
}

export type Answer = { status: number; body: unknown }

/** HTTP to the instances of one service, over connections that stay open. */
export type ServiceClient = AsyncDisposable & {
  name: string
  /** @throws UpstreamError where no answer below 500 came */
  get(path: string, options: CallOptions): Promise<Answer>
  /** @throws UpstreamError where no answer below 500 came */
  post(path: string, body: unknown, options: CallOptions): Promise<Answer>
  /**
   * Opens an answer that goes on for as long as both sides want. Reading it throws where it breaks off.
   * @throws UpstreamError where no answer 200 came
   */
  stream(path: string, options: StreamOptions): Promise<Readable>
  /** Asks `/healthz`. */
  state(): Promise<DependencyState>
}

type Request = { method: 'GET' | 'POST'; path: string; body: string | null; headers?: Record<string, string> }

const STATE_TIMEOUT_MS = 300
/** How long one instance may take where another could be asked. A play's questions have half a second in all. */
const ATTEMPT_MS = 150

type Deps = {
  name: string
  instances: Instances
  /** What the service asks of who writes. */
  token?: string | undefined
}

/** Spreads calls over the instances. One that fails is left out for a while, and an idempotent call goes to another. */
export function createServiceClient({ name, instances, token }: Deps): ServiceClient {
  const balancer = createBalancer(instances)
  const authorization = token && { authorization: `Bearer ${token}` }

  async function call(given: Request, options: CallOptions): Promise<Answer> {
    const { requestId, span: cause = beginUnrecorded(), links } = options
    const { method } = given
    const attributes = { 'http.request.method': method, 'url.path': given.path, 'peer.service': name }
    const span = cause.child(`${method} ${name}`, { kind: 'client', attributes, links })
    const headers = {
      ...(given.body && { 'content-type': 'application/json' }),
      ...(requestId && { 'x-request-id': requestId }),
      traceparent: span.traceparent,
      ...(span.tracestate && { tracestate: span.tracestate }),
      ...authorization,
    }
    try {
      const answer = await askOneAfterAnother({ ...given, headers }, options)
      span.end({ attributes: { 'http.response.status_code': answer.status } })
      return answer
    } catch (error) {
      span.end({ error })
      throw error
    }
  }

  async function askOneAfterAnother(
    request: Request,
    { idempotent = request.method === 'GET', signal }: CallOptions,
  ): Promise<Answer> {
    const tried: Instance[] = []
    let cause: unknown
    let next = balancer.pick(tried)
    while (next) {
      tried.push(next)
      const isLast = !idempotent || tried.length >= balancer.size()
      try {
        return await ask(next, request, isLast ? signal : limited(signal))
      } catch (error) {
        cause = error
      }
      next = isLast || signal.aborted ? undefined : balancer.pick(tried)
    }
    throw new UpstreamError(`${name}: ${request.method} ${request.path} failed`, { cause })
  }

  return {
    name,
    get: (path, options) => call({ method: 'GET', path, body: null }, options),
    post: (path, body, options) => call({ method: 'POST', path, body: JSON.stringify(body) }, options),
    async stream(path, options) {
      const instance = balancer.pick([])
      try {
        if (!instance) throw new Error('no instance is known')
        return await openStream(instance, path, options)
      } catch (cause) {
        throw new UpstreamError(`${name}: no stream of ${path}`, { cause })
      }
    },
    async state() {
      const signal = AbortSignal.timeout(STATE_TIMEOUT_MS)
      return call({ method: 'GET', path: '/healthz', body: null }, { signal }).then(
        () => 'up',
        () => 'down',
      )
    },
    [Symbol.asyncDispose]: () => balancer[Symbol.asyncDispose](),
  }
}

async function ask(instance: Instance, request: Request, signal: AbortSignal): Promise<Answer> {
  instance.underWay += 1
  try {
    const response = await instance.pool.request({ ...request, signal })
    const answer = { status: response.statusCode, body: await response.body.json() }
    if (answer.status >= 500) throw new Error(`it answered ${answer.status}`)
    instance.leftOutUntil = 0
    return answer
  } catch (error) {
    leaveOut(instance)
    throw error
  } finally {
    instance.underWay -= 1
  }
}

function limited(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS)])
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
