import { CircuitState, circuitBreaker, handleAll, SamplingBreaker } from 'cockatiel'
import { Gauge } from 'prom-client'
import { Circuit } from '../runtime/health.ts'
import type { Logger } from '../runtime/log.ts'
import type { Metrics } from '../runtime/metrics.ts'
import { type Answer, type CallOptions, type ServiceClient, UpstreamError } from './service-client.ts'

/** Opens when half of the calls of this time failed, two at least. */
const SAMPLE_MS = 2_000
const THRESHOLD = 0.5
const MIN_CALLS_PER_SECOND = 1
/** After this one call tries whether the service is back. All others wait for it, so it has little time. */
const TRY_AGAIN_MS = 500
const TRIAL_MS = 150

/** The circuit is open, or the caller's time was over before. */
export class NotAskedError extends UpstreamError {
  override name = 'NotAskedError'
}

export type GuardedClient = ServiceClient & { circuit: () => Circuit }

/**
 * A client that stops asking a service that does not answer: its calls then fail at once, with UpstreamError, and one
 * every half second finds out whether it is back. Shown in the metrics as `circuit_breaker_state`.
 */
export function guard(client: ServiceClient, { log, metrics }: { log: Logger; metrics: Metrics }): GuardedClient {
  const breaker = new SamplingBreaker({ threshold: THRESHOLD, duration: SAMPLE_MS, minimumRps: MIN_CALLS_PER_SECOND })
  const policy = circuitBreaker(handleAll, { halfOpenAfter: TRY_AGAIN_MS, breaker })
  const circuit = () => circuitOf(policy.state)
  const show = createStateGauge(metrics, client.name)
  show('closed')
  let closed = true
  policy.onStateChange((state) => {
    show(circuitOf(state))
    if (closed && state === CircuitState.Open) log.warn({ upstream: client.name }, 'circuit open: it is not asked')
    if (state === CircuitState.Closed) log.info({ upstream: client.name }, 'circuit closed: it answers again')
    if (state !== CircuitState.HalfOpen) closed = state === CircuitState.Closed
  })

  async function call(work: (options: CallOptions) => Promise<Answer>, options: CallOptions): Promise<Answer> {
    // Whose time was over before is no failure of the service.
    if (options.signal.aborted) {
      throw new NotAskedError(`${client.name} was not asked`, { cause: options.signal.reason })
    }
    try {
      return await policy.execute(() => {
        if (policy.state !== CircuitState.HalfOpen) return work(options)
        return work({ ...options, signal: AbortSignal.any([options.signal, AbortSignal.timeout(TRIAL_MS)]) })
      })
    } catch (error) {
      if (error instanceof UpstreamError) throw error
      throw new NotAskedError(`${client.name} is not asked`, { cause: error })
    }
  }

  return {
    ...client,
    circuit,
    get: (path, options) => call((limited) => client.get(path, limited), options),
    post: (path, body, options) => call((limited) => client.post(path, body, limited), options),
  }
}

function circuitOf(state: CircuitState): Circuit {
  if (state === CircuitState.Closed) return 'closed'
  return state === CircuitState.HalfOpen ? 'half-open' : 'open'
}

function createStateGauge(metrics: Metrics, upstream: string): (current: Circuit) => void {
  const name = 'circuit_breaker_state'
  const help = 'State of the circuit to another service: 1 for the state that it is in'
  // One gauge has the circuits of all services.
  const gauge =
    (metrics.getSingleMetric(name) as Gauge | undefined) ??
    new Gauge({ name, help, labelNames: ['upstream', 'state'], registers: [metrics] })
  return (current) => {
    for (const state of Circuit.options) gauge.set({ upstream, state }, current === state ? 1 : 0)
  }
}
