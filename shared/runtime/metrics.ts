import { collectDefaultMetrics, Registry } from 'prom-client'

export type Metrics = Registry

/** A registry of its own for a service, so that several in one process do not mix; with Node's own metrics in it. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return registry
}
