import { Gauge, Histogram } from 'prom-client'
import { Degraded } from '../shared/contracts/playback.ts'
import type { NewView } from '../shared/event-log/event-log.ts'
import type { Metrics } from '../shared/runtime/metrics.ts'
import { createTally } from '../shared/runtime/tally.ts'
import type { Outbox } from './outbox.ts'
import type { ReadOutcome } from './read-once.ts'
import type { Append } from './recorder.ts'
import type { Recorded } from './spooler.ts'

/** What play's metrics are told of its work. */
export type PlayMetrics = {
  /** How an asset was read of a source, for a function that is told each time. */
  reads(source: 'metadata' | 'cdnurl'): (outcome: ReadOutcome) => void
  /** So many plays had their counts looked up with one request. */
  lookedUp(plays: number): void
  /** Measures appends, and counts the views by where they went. */
  measureAppend(append: Append): Append
  /** A play was answered without these parts, or with what was last read of them. */
  degraded(parts: readonly Degraded[]): void
}

export function createPlayMetrics(metrics: Metrics): PlayMetrics {
  const registers = [metrics]
  const reads = createTally(metrics, {
    name: 'catalogue_cache_reads_total',
    help: 'Reads of an asset: fresh from memory (hit), as its owner says now (miss), as last read while the owner is down (stale), or not at all (error)',
    labelNames: ['source', 'outcome'],
  })
  const views = createTally(metrics, {
    name: 'recorded_views_total',
    help: 'Views recorded, by where: in the log, or in the outbox from which they are brought to it',
    labelNames: ['place'],
  })
  const degraded = createTally(metrics, {
    name: 'degraded_plays_total',
    help: 'Plays answered although a part was missing, as last read, or (events) not yet in the log',
    labelNames: ['part'],
  })
  const groups = new Histogram({
    name: 'play_group_size',
    help: 'Plays that shared one request for their counts (lookup) or one message of the log (append)',
    labelNames: ['group'],
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000],
    registers,
  })
  const appends = new Histogram({
    name: 'event_append_duration_seconds',
    help: 'How long it took to record a group of views: confirmed by the log (log), on disk (outbox), or neither (failed)',
    labelNames: ['outcome'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5],
    registers,
  })
  const parts = new Map(Degraded.options.map((part) => [part, degraded({ part })]))
  const recorded = { log: views({ place: 'log' }), outbox: views({ place: 'outbox' }) }
  for (const outcome of ['log', 'outbox', 'failed']) appends.zero({ outcome })

  return {
    reads(source) {
      const counters: Record<ReadOutcome, () => void> = {
        hit: reads({ source, outcome: 'hit' }),
        miss: reads({ source, outcome: 'miss' }),
        stale: reads({ source, outcome: 'stale' }),
        error: reads({ source, outcome: 'error' }),
      }
      return (outcome) => counters[outcome]()
    },
    degraded(missing) {
      for (const part of missing) parts.get(part)?.()
    },
    lookedUp: (plays) => groups.observe({ group: 'lookup' }, plays),
    measureAppend: (append) =>
      async function measured(group: readonly NewView[], signal: AbortSignal): Promise<Recorded> {
        const end = appends.startTimer()
        groups.observe({ group: 'append' }, group.length)
        try {
          const place = await append(group, signal)
          recorded[place](group.length)
          end({ outcome: place })
          return place
        } catch (error) {
          end({ outcome: 'failed' })
          throw error
        }
      },
  }
}

/** Shows how many views wait in the outbox. */
export function showOutbox(metrics: Metrics, outbox: Pick<Outbox, 'size'>): void {
  new Gauge({
    name: 'outbox_waiting_views',
    help: 'Views in the outbox that are not in the log yet',
    registers: [metrics],
    collect() {
      this.set(sizeOf(outbox))
    },
  })
}

/** Not a number where the disk does not say: no value is better than a wrong one. */
function sizeOf(outbox: Pick<Outbox, 'size'>): number {
  try {
    return outbox.size()
  } catch {
    return Number.NaN
  }
}
