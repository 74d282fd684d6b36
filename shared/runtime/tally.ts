import { Counter } from 'prom-client'
import type { Metrics } from './metrics.ts'

/**
 * A counter for what happens with every request. Its values are plain numbers that prom-client gets with each scrape:
 * its own `inc()` hashes the labels anew each time.
 * @returns a function that gives the one to call for so many more under these labels. They show from then on, with 0.
 */
export function createTally<Label extends string>(
  metrics: Metrics,
  { name, help, labelNames }: { name: string; help: string; labelNames: Label[] },
): (labels: Record<Label, string>) => (more?: number) => void {
  const counts: { labels: Record<Label, string>; count: number }[] = []
  new Counter({
    name,
    help,
    labelNames,
    registers: [metrics],
    collect() {
      this.reset()
      for (const { labels, count } of counts) this.inc(labels, count)
    },
  })
  return (labels) => {
    const entry = { labels, count: 0 }
    counts.push(entry)
    return (more = 1) => {
      entry.count += more
    }
  }
}
