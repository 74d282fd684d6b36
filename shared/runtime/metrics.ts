import { collectDefaultMetrics, Registry } from 'prom-client'

export type Metrics = Registry

/** Gauges of prom-client's own whose names end like a counter's, which `promtool check metrics` refuses. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total']

/** A registry of its own for a service, so that several in one process do not mix; with Node's own metrics in it. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const name of MISNAMED) registry.removeSingleMetric(name)
  return registry
}
