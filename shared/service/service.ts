import { once } from 'node:events'
import type { Discovery } from '../discovery/discovery.ts'
import { createStaticDiscovery } from '../discovery/static.ts'
import type { Logger } from '../runtime/log.ts'
import { nonRecordingTracing, type Tracing } from '../tracing/tracing.ts'
import { createHealth, type Health } from './health.ts'
import { createMetrics, type Metrics } from './metrics.ts'

/** The service cannot start. The message is one line that says why. */
export class StartError extends Error {
  override name = 'StartError'
}

/** The common dependencies of every service. */
export type Service = {
  name: string
  log: Logger
  health: Health
  metrics: Metrics
  discovery: Discovery
  tracing: Tracing
  /** Aborted on SIGTERM or SIGINT, to request a graceful shutdown. */
  stopping: AbortSignal
  /** Disposed in reverse order when the service stops or fails to start. */
  resources: AsyncDisposableStack
}

type Options = {
  name: string
  log: Logger
  stopping: AbortSignal
  discovery?: Discovery
  tracing?: Tracing
}

export function createService({
  name,
  log,
  stopping,
  discovery = createStaticDiscovery(),
  tracing = nonRecordingTracing,
}: Options): Service {
  const health = createHealth(stopping)
  if (discovery.state) health.watch('consul', { state: discovery.state, required: false })
  const resources = new AsyncDisposableStack()
  return { name, log, health, metrics: createMetrics(), discovery, tracing, stopping, resources }
}

/** Resolves when `stopping` aborts. */
export async function stopped({ stopping }: Pick<Service, 'stopping'>): Promise<void> {
  if (!stopping.aborted) await once(stopping, 'abort')
}
