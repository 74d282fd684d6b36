import type { Delivery } from '../../shared/contracts/readiness.ts'
import type { Counters } from './counters.ts'
import { type Distribution, distributionSince, toP99 } from './distribution.ts'
import type { CallCounts } from './schema.ts'
import type { Sample } from './store.ts'

/** The values at the end of a second. An unknown `backlog` is null, and unknown deliveries are left out. */
export type Reading = {
  counters: Counters
  backlog: number | null
  deliveries: readonly (Delivery & { url: string })[]
}

/** Returns the sample for the time between two readings. */
export function toSample(at: number, later: Reading, earlier: Reading | undefined): Sample {
  const recorded = recordedSince(later.counters, earlier?.counters)
  const served = durationsSince(later.counters, earlier?.counters).get('viewer play')
  const lags = later.deliveries.flatMap(({ lagMs }) => lagMs ?? [])
  return {
    at,
    plays: recorded.log + recorded.outbox,
    errors: increase(later.counters.errors, earlier?.counters.errors),
    p99Ms: served ? toP99(served) : null,
    backlog: later.backlog,
    lagMs: lags.length > 0 ? Math.max(...lags) : null,
    traffic: toTraffic(later, earlier),
  }
}

/** The 99th percentiles of the durations between two readings, in milliseconds, keyed by `from to`. */
export function toP99s(later: Reading, earlier: Reading | undefined): Map<string, number | null> {
  const durations = durationsSince(later.counters, earlier?.counters)
  const deliveries = later.deliveries.flatMap(({ p99Ms }) => p99Ms ?? [])
  return new Map([
    ...[...durations].map(([edge, own]) => [edge, toP99(own)] as const),
    ['queue-listener reporting', deliveries.length > 0 ? Math.max(...deliveries) : null],
  ])
}

function toTraffic(later: Reading, earlier: Reading | undefined): CallCounts {
  const { counters, backlog } = later
  const recorded = recordedSince(counters, earlier?.counters)
  const items: Record<string, number> = {
    'play reporting': increase(counters.carried.lookup, earlier?.counters.carried.lookup),
    'play events': recorded.log,
    'play outbox': recorded.outbox,
    ...Object.fromEntries(
      [...counters.reads].map(([source, reads]) => [
        `play ${source}`,
        increase(reads, earlier?.counters.reads.get(source)),
      ]),
    ),
  }
  const calls = [...durationsSince(counters, earlier?.counters)]
  const drained = Math.max(0, (earlier?.backlog ?? 0) + recorded.outbox - (backlog ?? Number.POSITIVE_INFINITY))
  const delivered = deliveredSince(later, earlier)
  return {
    ...Object.fromEntries(calls.map(([edge, { count }]) => [edge, [count, items[edge] ?? 0] as const])),
    'outbox events': [drained, drained],
    'events queue-listener': delivered,
    'queue-listener reporting': delivered,
  }
}

function recordedSince({ recorded }: Counters, earlier: Counters | undefined): Counters['recorded'] {
  return {
    log: increase(recorded.log, earlier?.recorded.log),
    outbox: increase(recorded.outbox, earlier?.recorded.outbox),
  }
}

function durationsSince({ durations }: Counters, earlier: Counters | undefined): Map<string, Distribution> {
  return new Map([...durations].map(([edge, own]) => [edge, distributionSince(own, earlier?.durations.get(edge))]))
}

/** Skips instances without an earlier reading, because their counters do not show when the deliveries happened. */
function deliveredSince({ deliveries }: Reading, earlier: Reading | undefined): [batches: number, views: number] {
  const pairs = deliveries.map((later) => ({ later, before: earlier?.deliveries.find(({ url }) => url === later.url) }))
  const total = (field: 'batches' | 'views') =>
    pairs.reduce((sum, { later, before }) => (before ? sum + increase(later[field], before[field]) : sum), 0)
  return [total('batches'), total('views')]
}

/** The increase in a counter. A counter that is lower than before was reset. */
function increase(later: number, earlier = 0): number {
  return later < earlier ? later : later - earlier
}
