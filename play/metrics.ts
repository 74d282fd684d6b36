import { Gauge, Histogram } from 'prom-client'
import { Degraded } from '../shared/contracts/playback.ts'
import { Denial } from '../shared/contracts/rights.ts'
import type { NewView } from '../shared/event-log/event-log.ts'
import { createFastCounter, createLabelCounter } from '../shared/service/fast-counter.ts'
import type { Metrics } from '../shared/service/metrics.ts'
import type { CacheOutcome } from './asset-cache.ts'
import { IDEMPOTENCY_OUTCOMES, type IdempotencyOutcome } from './keyed-player.ts'
import { PRIORITIES, type Priority } from './limits/overload.ts'
import type { Outbox } from './outbox.ts'
import type { Append } from './recorder.ts'
import type { Recorded } from './spooler.ts'

export type PlayMetrics = {
  /** @returns a function that counts the reads of the cache for `source`, by outcome */
  reads(source: string): (outcome: CacheOutcome) => void
  /** Observes the size of a batched lookup. */
  lookup(plays: number): void
  /** Wraps an append to record its metrics. */
  instrumentAppend(append: Append): Append
  /** Counts a play for which data from these upstreams was missing or stale. */
  degraded(upstreams: readonly Degraded[]): void
  /** Counts a play with an idempotency key. */
  keyed(outcome: IdempotencyOutcome): void
  /** Counts a prefetch that was served. */
  prefetched(): void
  /** Counts a request that load shedding refused. */
  shed(priority: Priority): void
  /** @returns a function that counts a request refused by the rate limit with this name */
  rateLimited(limit: string): () => void
  /** Counts a play that its asset's rights do not allow. */
  denied(reasons: readonly Denial[]): void
}

export function createPlayMetrics(metrics: Metrics): PlayMetrics {
  const registers = [metrics]
  const reads = createFastCounter(metrics, {
    name: 'catalogue_cache_reads_total',
    help: 'Reads of the asset cache, by outcome: fresh (hit), loaded (miss), stale because the upstream is down (stale), or failed (error)',
    labelNames: ['source', 'outcome'],
  })
  const recorded = createLabelCounter<Recorded['place']>(metrics, {
    name: 'recorded_views_total',
    help: 'Views recorded, by place: the log, or the outbox, which drains to the log',
    label: 'place',
    values: ['log', 'outbox'],
  })
  const reported = createLabelCounter<Recorded['place']>(metrics, {
    name: 'recorded_watch_reports_total',
    help: 'Reports of watch time recorded, by place: the log, or the outbox, which drains to the log',
    label: 'place',
    values: ['log', 'outbox'],
  })
  const degraded = createLabelCounter(metrics, {
    name: 'degraded_plays_total',
    help: 'Degraded plays, by the upstream whose data was missing or stale, or events if the view went to the outbox',
    label: 'part',
    values: Degraded.options,
  })
  const keyed = createLabelCounter(metrics, {
    name: 'idempotent_plays_total',
    help: 'Plays with an idempotency key, by outcome: a new view (recorded), a retry without a new view (retried), or a refusal because the key was used for another asset (reused)',
    label: 'outcome',
    values: IDEMPOTENCY_OUTCOMES,
  })
  const prefetched = createFastCounter(metrics, {
    name: 'prefetched_plays_total',
    help: 'Prefetches that were served; a prefetch records no view',
    labelNames: [],
  })
  const shed = createLabelCounter(metrics, {
    name: 'shed_requests_total',
    help: 'Requests refused with 503 by load shedding, by priority: console (with the docs), reads (catalogue, views, live counts), prefetch, watched (reports of watch time), plays',
    label: 'priority',
    values: PRIORITIES,
  })
  const rateLimited = createFastCounter(metrics, {
    name: 'rate_limited_requests_total',
    help: 'Requests refused with 429, by limit: client (CLIENT_RATE), user (PLAY_RATE), watched (PLAY_RATE, for reports of watch time); absent for a limit that is not set',
    labelNames: ['limit'],
  })
  const denied = createLabelCounter(metrics, {
    name: 'denied_plays_total',
    help: 'Plays that the rights of the asset do not allow, by reason; a play may have several reasons',
    label: 'reason',
    values: Denial.options,
  })
  const batches = new Histogram({
    name: 'play_group_size',
    help: 'Plays per batch, by kind: batched count lookups (lookup), or appends to the log (append), which also contain reports of watch time',
    labelNames: ['group'],
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000],
    registers,
  })
  const appends = new Histogram({
    name: 'event_append_duration_seconds',
    help: 'Time to record a batch of views, by outcome: acknowledged by the log (log), on disk (outbox), or neither (failed)',
    labelNames: ['outcome'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
    registers,
  })
  for (const outcome of ['log', 'outbox', 'failed']) appends.zero({ outcome })

  return {
    reads(source) {
      const counters: Record<CacheOutcome, () => void> = {
        hit: reads({ source, outcome: 'hit' }),
        miss: reads({ source, outcome: 'miss' }),
        stale: reads({ source, outcome: 'stale' }),
        error: reads({ source, outcome: 'error' }),
      }
      return (outcome) => counters[outcome]()
    },
    denied(reasons) {
      for (const reason of reasons) denied(reason)
    },
    degraded(upstreams) {
      for (const upstream of upstreams) degraded(upstream)
    },
    keyed,
    prefetched: prefetched({}),
    shed,
    rateLimited: (limit) => rateLimited({ limit }),
    lookup: (plays) => batches.observe({ group: 'lookup' }, plays),
    instrumentAppend: (append) =>
      async function instrumentedAppend(views: readonly NewView[], signal: AbortSignal): Promise<Recorded> {
        const end = appends.startTimer()
        batches.observe({ group: 'append' }, views.length)
        try {
          const appended = await append(views, signal)
          const { place } = appended
          const reports = views.reduce((sum, { watched }) => (watched ? sum + 1 : sum), 0)
          recorded(place, views.length - reports)
          reported(place, reports)
          end({ outcome: place })
          return appended
        } catch (error) {
          end({ outcome: 'failed' })
          throw error
        }
      },
  }
}

/** Exposes the number of views in this process's outbox and in the outboxes that it has adopted. */
export function exposeOutbox(metrics: Metrics, outbox: Pick<Outbox, 'size'>): void {
  new Gauge({
    name: 'outbox_waiting_views',
    help: 'Views in the outbox that are not in the log yet',
    registers: [metrics],
    collect() {
      this.set(sizeOf(outbox))
    },
  })
}

/** NaN if the disk fails, because a missing value is better than a wrong one. */
function sizeOf(outbox: Pick<Outbox, 'size'>): number {
  try {
    return outbox.size()
  } catch {
    return Number.NaN
  }
}

/** Exposes the process id, because a scrape of a shared port may reach any of the processes that share it. */
export function exposeProcess(metrics: Metrics): void {
  const help = 'Process id; exposed only with REUSE_PORT, which lets several processes share a port'
  new Gauge({ name: 'process_pid', help, registers: [metrics] }).set(process.pid)
}

/** Exposes EVENTS_MAX_AGE for the doctor, which warns if it differs from queue-listener's setting. */
export function exposeMaxAge(metrics: Metrics, maxAgeMs: number | undefined): void {
  if (maxAgeMs === undefined) return
  const help = "This process's EVENTS_MAX_AGE; absent if it is unset"
  new Gauge({ name: 'events_max_age_seconds', help, registers: [metrics] }).set(maxAgeMs / 1_000)
}
