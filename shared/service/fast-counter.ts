import { Counter } from 'prom-client'
import type { Metrics } from './metrics.ts'

/**
 * A counter for the hot path. prom-client's own `inc()` hashes the labels on every call, so this counter holds plain
 * numbers, which prom-client reads on each scrape.
 * @returns a function that registers a counter for the given labels, starting at 0, and returns its increment function
 */
export function createFastCounter<Label extends string>(
  metrics: Metrics,
  { name, help, labelNames }: { name: string; help: string; labelNames: Label[] },
): (labels: Record<Label, string>) => (by?: number) => void {
  const entries: { labels: Record<Label, string>; count: number }[] = []
  new Counter({
    name,
    help,
    labelNames,
    registers: [metrics],
    collect() {
      this.reset()
      for (const { labels, count } of entries) this.inc(labels, count)
    },
  })
  return (labels) => {
    const entry = { labels, count: 0 }
    entries.push(entry)
    return (by = 1) => {
      entry.count += by
    }
  }
}

/**
 * A fast counter with one label, whose values are known in advance. The counter for each value starts at 0.
 * @returns a function that increments the counter for a value
 */
export function createLabelCounter<Value extends string>(
  metrics: Metrics,
  { label, values, ...rest }: { name: string; help: string; label: string; values: readonly Value[] },
): (value: Value, by?: number) => void {
  const register = createFastCounter(metrics, { ...rest, labelNames: [label] })
  const increments = new Map(values.map((value) => [value, register({ [label]: value })]))
  return (value, by) => increments.get(value)?.(by)
}
