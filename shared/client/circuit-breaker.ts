import { CircuitState, circuitBreaker, handleAll, SamplingBreaker } from 'cockatiel'
import { Gauge } from 'prom-client'
import { Circuit } from '../contracts/readiness.ts'
import type { Logger } from '../runtime/log.ts'
import type { Metrics } from '../service/metrics.ts'
import { type CallOptions, type ServiceClient, type ServiceResponse, UpstreamError } from './service-client.ts'

/** The circuit opens when more than half of the calls in this window have failed, with a minimum of two calls. */
const SAMPLE_MS = 2_000
const THRESHOLD = 0.5
const MIN_CALLS_PER_SECOND = 1

/** How long the circuit stays open before one call probes the service. */
const HALF_OPEN_AFTER_MS = 500
/** The probe's timeout is short, because all other calls wait for the probe. */
const PROBE_TIMEOUT_MS = 150

/** The call was not sent, because the circuit was open or the caller's deadline had passed. */
export class CircuitOpenError extends UpstreamError {
  override name = 'CircuitOpenError'
}

type CircuitBreakerClient = ServiceClient & { circuit: () => Circuit }

/**
 * A client that stops calling a failing service: calls fail immediately with CircuitOpenError, and every half second
 * one call probes the service. The metric `circuit_breaker_state` exposes the state.
 */
export function withCircuitBreaker(
  client: ServiceClient,
  { log, metrics }: { log: Logger; metrics: Metrics },
): CircuitBreakerClient {
  const breaker = new SamplingBreaker({ threshold: THRESHOLD, duration: SAMPLE_MS, minimumRps: MIN_CALLS_PER_SECOND })
  const policy = circuitBreaker(handleAll, { halfOpenAfter: HALF_OPEN_AFTER_MS, breaker })
  const circuit = () => toCircuit(policy.state)
  const setGauge = createStateGauge(metrics, client.name)
  setGauge('closed')
  let isClosed = true
  policy.onStateChange((state) => {
    setGauge(toCircuit(state))
    if (isClosed && state === CircuitState.Open) {
      log.warn({ upstream: client.name, reason: client.reason() }, 'circuit opened')
    }
    if (state === CircuitState.Closed) log.info({ upstream: client.name }, 'circuit closed')
    if (state !== CircuitState.HalfOpen) isClosed = state === CircuitState.Closed
  })

  async function call(
    work: (options: CallOptions) => Promise<ServiceResponse>,
    options: CallOptions,
  ): Promise<ServiceResponse> {
    // Do not blame the service for a deadline that had already passed.
    if (options.signal.aborted) {
      throw new CircuitOpenError(`${client.name} was not called`, { cause: options.signal.reason })
    }
    try {
      return await policy.execute(() => {
        if (policy.state !== CircuitState.HalfOpen) return work(options)
        return work({ ...options, signal: AbortSignal.any([options.signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]) })
      })
    } catch (error) {
      if (error instanceof UpstreamError) throw error
      throw new CircuitOpenError(`the circuit to ${client.name} is open`, { cause: error })
    }
  }

  return {
    ...client,
    circuit,
    get: (path, options) => call((bounded) => client.get(path, bounded), options),
    post: (path, body, options) => call((bounded) => client.post(path, body, bounded), options),
  }
}

function toCircuit(state: CircuitState): Circuit {
  if (state === CircuitState.Closed) return 'closed'
  return state === CircuitState.HalfOpen ? 'half-open' : 'open'
}

const GAUGE = {
  name: 'circuit_breaker_state',
  help: 'State of the circuit to an upstream: 1 for the current state, 0 for the others',
  labelNames: ['upstream', 'state'] as const,
}

/** All upstreams share one gauge. */
function createStateGauge(metrics: Metrics, upstream: string): (current: Circuit) => void {
  const existing = metrics.getSingleMetric(GAUGE.name)
  const gauge = existing instanceof Gauge ? existing : new Gauge({ ...GAUGE, registers: [metrics] })
  return (current) => {
    for (const state of Circuit.options) gauge.set({ upstream, state }, current === state ? 1 : 0)
  }
}
