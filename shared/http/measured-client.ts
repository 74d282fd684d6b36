import { Histogram } from 'prom-client'
import type { Metrics } from '../runtime/metrics.ts'
import { NotAskedError } from './circuit-breaker.ts'
import type { Answer, CallOptions, ServiceClient } from './service-client.ts'

/** `answered` is any status below 500. */
const OUTCOMES = ['answered', 'failed', 'timed_out', 'not_asked'] as const
type Outcome = (typeof OUTCOMES)[number]

/** A client whose calls the metrics show, by service and outcome. One that failed over to another instance is one call. */
export function measure<Client extends ServiceClient>(client: Client, { metrics }: { metrics: Metrics }): Client {
  const histogram = durations(metrics)
  for (const outcome of OUTCOMES) histogram.zero({ upstream: client.name, outcome })

  async function call(work: Promise<Answer>, { signal }: CallOptions): Promise<Answer> {
    const started = performance.now()
    const observe = (outcome: Outcome) =>
      histogram.observe({ upstream: client.name, outcome }, (performance.now() - started) / 1_000)
    try {
      const answer = await work
      observe('answered')
      return answer
    } catch (error) {
      if (error instanceof NotAskedError) observe('not_asked')
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

/** One histogram has the calls to all services. */
function durations(metrics: Metrics): Histogram {
  const name = 'http_client_request_duration_seconds'
  return (
    (metrics.getSingleMetric(name) as Histogram | undefined) ??
    new Histogram({
      name,
      help: 'Duration of HTTP requests to another service',
      labelNames: ['upstream', 'outcome'],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
      registers: [metrics],
    })
  )
}
