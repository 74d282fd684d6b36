import { Histogram } from 'prom-client'
import type { Metrics } from '../service/metrics.ts'
import { CircuitOpenError } from './circuit-breaker.ts'
import type { CallOptions, ServiceClient, ServiceResponse } from './service-client.ts'

/** `answered`: the status was below 500. `not_asked`: the call was not sent; see CircuitOpenError. */
const OUTCOMES = ['answered', 'failed', 'timed_out', 'not_asked'] as const
type Outcome = (typeof OUTCOMES)[number]

const HISTOGRAM = {
  name: 'http_client_request_duration_seconds',
  help: 'Duration of HTTP requests to an upstream, by outcome',
  labelNames: ['upstream', 'outcome'] as const,
  buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
}

/** A client that records each call's duration in the metrics. A call that fails over is counted once. */
export function instrumentClient<Client extends ServiceClient>(client: Client, metrics: Metrics): Client {
  // All upstreams share one histogram.
  const existing = metrics.getSingleMetric(HISTOGRAM.name)
  const histogram = existing instanceof Histogram ? existing : new Histogram({ ...HISTOGRAM, registers: [metrics] })
  for (const outcome of OUTCOMES) histogram.zero({ upstream: client.name, outcome })

  async function call(work: Promise<ServiceResponse>, { signal }: CallOptions): Promise<ServiceResponse> {
    const startedAt = performance.now()
    const observe = (outcome: Outcome) =>
      histogram.observe({ upstream: client.name, outcome }, (performance.now() - startedAt) / 1_000)
    try {
      const response = await work
      observe('answered')
      return response
    } catch (error) {
      if (error instanceof CircuitOpenError) observe('not_asked')
      else observe(signal.aborted ? 'timed_out' : 'failed')
      throw error
    }
  }

  return {
    ...client,
    get: (path, options) => call(client.get(path, options), options),
    post: (path, body, options) => call(client.post(path, body, options), options),
  }
}
