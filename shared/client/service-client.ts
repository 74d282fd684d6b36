import type { Readable } from 'node:stream'
import type { z } from 'zod'
import { LIVENESS } from '../contracts/probes.ts'
import type { DependencyState } from '../contracts/readiness.ts'
import type { Instances } from '../discovery/discovery.ts'
import { parseSafely } from '../runtime/parse-safely.ts'
import { toReason } from '../runtime/reason.ts'
import type { Secret } from '../runtime/secret.ts'
import type { TraceContext } from '../tracing/trace-context.ts'
import { type RequestContext, startNonRecordingSpan } from '../tracing/tracing.ts'
import { createBalancer, eject, type Instance } from './balancer.ts'
import { type InstanceReadiness, readReadiness } from './instance-readiness.ts'
import { type InstanceResponse, readInstance } from './instance-response.ts'
import { requestJson } from './request-json.ts'
import { openStream, type StreamOptions } from './upstream-stream.ts'

/** The call failed, timed out, or returned an unexpected response; see `cause`. */
export class UpstreamError extends Error {
  override name = 'UpstreamError'
  /** The response's unexpected status; undefined if the call failed or returned a 5xx. */
  readonly status: number | undefined

  constructor(message: string, { status, ...options }: ErrorOptions & { status?: number } = {}) {
    super(message, options)
    this.status = status
  }
}

export type CallOptions = Partial<RequestContext> & {
  signal: AbortSignal
  /** Spans of the other requests in the batch. */
  links?: TraceContext[] | undefined
  /** If true, the call may be retried on another instance. Default: true for GET, false for POST. */
  idempotent?: boolean
  /** Timeout for an attempt in milliseconds, if there is another instance left to try. */
  attemptTimeoutMs?: number
}

/** `isRetry` is true for a POST if an earlier attempt on another instance failed, and its outcome is unknown. */
export type ServiceResponse = { status: number; body: unknown; isRetry?: true }

/** An HTTP client for one service's instances, with pooled connections. */
export type ServiceClient = AsyncDisposable & {
  name: string
  /** @throws UpstreamError if the call fails or returns a 5xx */
  get(path: string, options: CallOptions): Promise<ServiceResponse>
  /**
   * Sends `body` as JSON. A Uint8Array is sent unchanged, and must already contain JSON.
   * @throws UpstreamError if the call fails or returns a 5xx
   */
  post(path: string, body: unknown, options: CallOptions): Promise<ServiceResponse>
  /**
   * Opens a streaming response. Reading it throws if the connection is lost.
   * @throws UpstreamError unless the status is 200
   */
  stream(path: string, options: StreamOptions): Promise<Readable>
  /** Calls `/healthz`. */
  state(): Promise<DependencyState>
  /** Why the last call failed; undefined if it succeeded. */
  reason(): string | undefined
  /** Calls every known instance's `/readyz`. */
  instances(): Promise<InstanceReadiness[]>
  /** Sends a GET to every known instance, without retries. */
  getAll(path: string, signal: AbortSignal): Promise<InstanceResponse[]>
}

type Request = {
  method: 'GET' | 'POST'
  path: string
  body: string | Uint8Array | null
  headers?: Record<string, string>
}

const STATE_TIMEOUT_MS = 300

/** Default timeout for an attempt if there is another instance left to try. */
const ATTEMPT_TIMEOUT_MS = 150

type Deps = {
  name: string
  instances: Instances
  /** Sent as a bearer token, but only with POSTs, so that reads do not expose it to every discovered instance. */
  token?: Secret | undefined
  /**
   * Sent as a bearer token with all calls except probes, and except POSTs that send `token`. Needed if the service
   * requires READ_TOKEN.
   */
  readToken?: Secret | undefined
  /** The path to a PEM file, from UPSTREAM_CA. */
  ca?: string | undefined
}

/** Load-balances calls. A failed instance is ejected, and idempotent calls fail over to another instance. */
export function createServiceClient({ name, instances, token, readToken, ca }: Deps): ServiceClient {
  const balancer = createBalancer(instances, ca)
  let reason: string | undefined
  const toRead = readToken && { authorization: `Bearer ${readToken.reveal()}` }
  const toWrite = token && { authorization: `Bearer ${token.reveal()}` }

  async function call(given: Request, options: CallOptions): Promise<ServiceResponse> {
    const { requestId, span: parent = startNonRecordingSpan(), links } = options
    const { method } = given
    const [path = ''] = given.path.split('?', 1)
    const attributes = { 'http.request.method': method, 'url.path': path, 'peer.service': name }
    const span = parent.child(`${method} ${name}`, { kind: 'client', attributes, links })
    const headers = {
      ...(given.body && { 'content-type': 'application/json' }),
      ...(requestId && { 'x-request-id': requestId }),
      traceparent: span.traceparent,
      ...(span.tracestate && { tracestate: span.tracestate }),
      ...(given.path !== LIVENESS && toRead),
      ...(method === 'POST' && toWrite),
    }
    try {
      const response = await tryInstances({ ...given, headers }, options)
      span.end({ attributes: { 'http.response.status_code': response.status } })
      return response
    } catch (error) {
      span.end({ error })
      throw error
    }
  }

  async function tryInstances(
    request: Request,
    { idempotent = request.method === 'GET', signal, attemptTimeoutMs = ATTEMPT_TIMEOUT_MS }: CallOptions,
  ): Promise<ServiceResponse> {
    const tried: Instance[] = []
    let cause: unknown
    let next = balancer.pick(tried)
    while (next) {
      tried.push(next)
      const isLast = !idempotent || tried.length >= balancer.size()
      try {
        const response = await send(next, request, isLast ? signal : withTimeout(signal, attemptTimeoutMs))
        reason = undefined
        return tried.length > 1 && request.method === 'POST' ? { ...response, isRetry: true } : response
      } catch (error) {
        cause = error
        reason = `${next.origin}: ${toReason(error)}`
      }
      next = isLast || signal.aborted ? undefined : balancer.pick(tried)
    }
    throw new UpstreamError(`${name}: ${request.method} ${request.path} failed`, { cause })
  }

  return {
    name,
    get: (path, options) => call({ method: 'GET', path, body: null }, options),
    post: (path, body, options) => call({ method: 'POST', path, body: toJson(body) }, options),
    async stream(path, options) {
      const instance = balancer.pick([])
      try {
        if (!instance) throw new Error('no known instances')
        return await openStream(instance, path, { ...options, headers: { ...options.headers, ...toRead } })
      } catch (cause) {
        throw new UpstreamError(`${name}: streaming ${path} failed`, { cause })
      }
    },
    async state() {
      const signal = AbortSignal.timeout(STATE_TIMEOUT_MS)
      return call({ method: 'GET', path: LIVENESS, body: null }, { signal }).then(
        () => 'up',
        () => 'down',
      )
    },
    reason: () => reason,
    instances: () => Promise.all(balancer.all().map(readReadiness)),
    getAll(path, signal) {
      const request = { path, headers: { ...toRead }, signal }
      return Promise.all(balancer.all().map((instance) => readInstance(instance, request)))
    },
    [Symbol.asyncDispose]: () => balancer[Symbol.asyncDispose](),
  }
}

function toJson(body: unknown): string | Uint8Array {
  return body instanceof Uint8Array ? body : JSON.stringify(body)
}

async function send(instance: Instance, request: Request, signal: AbortSignal): Promise<ServiceResponse> {
  instance.inFlight += 1
  try {
    const response = await requestJson(instance.pool, { ...request, signal })
    if (response.status >= 500) throw new Error(`it returned ${response.status}`)
    instance.ejectedUntil = 0
    return response
  } catch (error) {
    eject(instance)
    throw error
  } finally {
    instance.inFlight -= 1
  }
}

function withTimeout(signal: AbortSignal, ms: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ms)])
}

/**
 * Returns the parsed body of a response with the expected status.
 * @throws UpstreamError if the status differs or the body is invalid
 */
export function expectBody<Schema extends z.ZodType>(
  { status, body }: ServiceResponse,
  expected: number,
  schema: Schema,
): z.output<Schema> {
  if (status !== expected) throw new UpstreamError(`returned ${status} instead of ${expected}`, { status })
  const parsed = parseSafely(schema, body)
  if (!parsed.success) throw new UpstreamError('responded with an invalid body', { cause: parsed.error })
  return parsed.data
}
