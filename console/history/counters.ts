import type { Registry } from 'prom-client'
import type { Distribution } from './distribution.ts'

/**
 * The totals of play's metrics since the process started. The keys of `durations` have the form `from to`, where `from`
 * is the caller and `to` is the callee.
 */
export type Counters = {
  recorded: { log: number; outbox: number }
  errors: number
  durations: Map<string, Distribution>
  /** The number of plays in batched lookups, and of views in batched appends. */
  carried: { lookup: number; append: number }
  /** The number of cache reads, by the service whose data is cached. */
  reads: Map<string, number>
}

/** The path prefix of play requests. Only these requests create views. */
const PLAYS = '/play/asset/'

type Value = { metricName?: string; labels: Record<string, string | number | undefined>; value: number }

/**
 * Reads only metrics that play exposes anyway, so the history adds no work to a play.
 * @throws Error if one of these metrics is missing
 */
export async function readCounters(metrics: Registry): Promise<Counters> {
  const [recorded, requests, calls, appends, groups, reads] = await Promise.all([
    valuesOf(metrics, 'recorded_views_total'),
    valuesOf(metrics, 'http_server_request_duration_seconds'),
    valuesOf(metrics, 'http_client_request_duration_seconds'),
    valuesOf(metrics, 'event_append_duration_seconds'),
    valuesOf(metrics, 'play_group_size'),
    valuesOf(metrics, 'catalogue_cache_reads_total'),
  ])
  const plays = requests.filter(({ labels }) => String(labels.http_route).startsWith(PLAYS))
  const durations = new Map<string, Distribution>()
  collect(durations, plays, () => 'viewer play')
  collect(durations, calls, ({ upstream, outcome }) => (outcome === 'not_asked' ? undefined : `play ${upstream}`))
  collect(durations, appends, ({ outcome }) => (outcome === 'outbox' ? 'play outbox' : 'play events'))
  const carriedBy = (group: string) => sum(groups, (v) => isSum(v) && v.labels.group === group)
  const readsBySource = Map.groupBy(reads, ({ labels }) => String(labels.source))
  return {
    recorded: {
      log: sum(recorded, ({ labels }) => labels.place === 'log'),
      outbox: sum(recorded, ({ labels }) => labels.place === 'outbox'),
    },
    errors: sum(plays, (v) => isCount(v) && Number(v.labels.http_response_status_code) >= 500),
    durations,
    carried: { lookup: carriedBy('lookup'), append: carriedBy('append') },
    reads: new Map([...readsBySource].map(([source, values]) => [source, sum(values, () => true)])),
  }
}

async function valuesOf(metrics: Registry, name: string): Promise<Value[]> {
  const metric = metrics.getSingleMetric(name)
  if (!metric) throw new Error(`there is no metric ${name}`)
  return (await metric.get()).values
}

/** Adds a histogram's buckets to the distributions, keyed by caller and callee, such as `play outbox`. */
function collect(
  durations: Map<string, Distribution>,
  values: readonly Value[],
  edgeOf: (labels: Value['labels']) => string | undefined,
): void {
  for (const value of values) {
    const edge = edgeOf(value.labels)
    if (edge === undefined || isSum(value)) continue
    const distribution = durations.get(edge) ?? { count: 0, atMost: new Map<number, number>() }
    durations.set(edge, distribution)
    if (isCount(value)) distribution.count += value.value
    else {
      const bound = value.labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(value.labels.le)
      distribution.atMost.set(bound, (distribution.atMost.get(bound) ?? 0) + value.value)
    }
  }
}

function isSum({ metricName = '' }: Value): boolean {
  return metricName.endsWith('_sum')
}

function isCount({ metricName = '' }: Value): boolean {
  return metricName.endsWith('_count')
}

function sum(values: readonly Value[], isWanted: (value: Value) => boolean): number {
  return values.reduce((total, value) => (isWanted(value) ? total + value.value : total), 0)
}
