import type { Audit } from '../../shared/contracts/audit.ts'
import type { LostViews } from '../../shared/contracts/lost-views.ts'
import type { Play } from '../../shared/contracts/play.ts'
import { type LogPosition, toNullablePosition } from '../../shared/contracts/position.ts'
import type { Counts, PlayCounts, RankedBy, TopEntry } from '../../shared/contracts/view-counts.ts'
import type { ViewExplanation } from '../../shared/contracts/view-explanation.ts'
import type { CountBatch, CountedBy } from '../count-store.ts'
import { createEngine, type JudgedView, type Verdicts } from '../engine.ts'
import { addGaps } from '../lost.ts'
import type { RuleEvent } from '../rules/view-rule.ts'
import type { SeriesCounts, SeriesRange } from '../series.ts'
import { startsAt } from '../starts-at.ts'
import { toStepAdditions } from '../step-additions.ts'
import { toTimedViews } from '../watch/watch-changes.ts'
import { assertRoom, type Capacity } from './capacity.ts'
import { createCountState } from './count-state.ts'
import { toExplanation } from './explanation.ts'
import { recordVerdicts } from './record-verdicts.ts'
import { addVerdicts, qualifiedOf } from './totals.ts'
import { fromMark } from './watched-views.ts'

/** The synchronous part of a CountStore. CountStore documents the functions that have no comment here. */
export type ViewCounts = {
  counts(by: CountedBy, id: string): Counts | undefined
  /** An asset's or user's views. */
  views(by: CountedBy, id: string): number
  size(by: CountedBy): number
  top(by: CountedBy, of: RankedBy, limit: number): TopEntry[]
  /** @throws CountsFullError */
  count(play: Play): PlayCounts
  position(): LogPosition | undefined
  /** @throws CountsFullError if the batch's new ids exceed the capacity, in which case nothing changes */
  apply(batch: CountBatch): Verdicts | undefined
  lost(): LostViews
  /** The last serial of a producer that the counts include; undefined if the producer is unknown. */
  lastSerial(producer: string): number | undefined
  /** The last view with this idempotency key. */
  findKeyed(id: string): RuleEvent | undefined
  explain(id: string): ViewExplanation | undefined
  knownSince(): Date | undefined
  audit(): Omit<Audit, 'waiting'>
  series(range: SeriesRange): SeriesCounts
}

/** The counts in memory, without any I/O. */
export function createViewCounts(capacity: Capacity, state = createCountState()): ViewCounts {
  const { counts, viewers, keys, verdicts, totals, series, watch } = state
  const judge = createEngine(state)

  function countsOf(by: CountedBy, id: string): Counts | undefined {
    const views = counts[by].get(id)
    if (views === undefined) return undefined
    const qualified = counts[by].qualified(id)
    return by === 'asset' ? { views, qualified, viewers: viewers.count(id) } : { views, qualified }
  }

  function addAll(views: readonly JudgedView[]): void {
    const isQualified = (index: number) => views[index]?.verdict === 'qualified'
    counts.user.incrementAll(
      views.map(({ userId }) => userId),
      isQualified,
    )
    // There are few assets, so their counts are in the processor's cache.
    for (const { assetId, userId, verdict } of views) {
      counts.asset.increment(assetId, verdict === 'qualified')
      viewers.add(assetId, userId)
    }
    state.views += views.length
  }

  return {
    counts: countsOf,
    views: (by, id) => counts[by].get(id) ?? 0,
    size: (by) => counts[by].size(),
    top: (by, of, limit) =>
      counts[by].top(limit, of).map(({ id }) => ({ id, views: 0, qualified: 0, ...countsOf(by, id) })),
    count(play) {
      assertRoom(capacity, counts, [play])
      return completeOrExit(() => {
        state.changes += 1
        totals.direct += 1
        const at = Date.now()
        series.add(toStepAdditions([{ ...play, at }], at), at)
        state.views += 1
        return {
          userviews: counts.user.increment(play.userId, false),
          assetviews: counts.asset.increment(play.assetId, false),
        }
      })
    },
    position: () => state.position,
    apply(batch) {
      if (!startsAt(state.position, batch)) return undefined
      assertRoom(capacity, counts, batch.views)
      return completeOrExit(() => {
        const { clock } = state
        const judged = judge(batch)
        addAll(judged.views)
        watch?.apply(judged, state.clock, state)
        recordVerdicts(verdicts, { ...batch, views: judged.views, clock })
        addVerdicts(totals, judged, batch.skipped)
        series.add(toStepAdditions(toTimedViews(judged), state.clock), state.clock)
        state.lost = addGaps(state.lost, judged.gaps)
        state.position = { incarnation: batch.incarnation, sequence: batch.through }
        state.changes += 1
        return judged
      })
    },
    lost: () => state.lost,
    lastSerial: (producer) => state.deduplication.producers.get(producer)?.serial,
    findKeyed: keys.find,
    explain(id) {
      // A dead letter may have the same id as a view; the view takes precedence.
      const found = verdicts.locate(id, ({ state }) => state === 'counted') ?? verdicts.locate(id)
      if (!found) return undefined
      const watchedMs = fromMark(verdicts.mark(found.number))
      return toExplanation(found.item, state.rules, { watchedMs, now: state.clock })
    },
    knownSince() {
      const oldest = verdicts.oldest()
      // The clock is 0 if the oldest record is a dead letter from before the first view.
      return oldest && oldest.clock > 0 ? new Date(oldest.clock) : undefined
    },
    audit: () => ({
      views: state.views,
      qualified: qualifiedOf(state),
      ...structuredClone(totals),
      position: toNullablePosition(state.position),
    }),
    series(range) {
      const { since, counts } = series.read(range)
      if (!watch) return { since, counts }
      const watched = watch.series.read(range)
      return {
        since: watched.since === undefined ? since : Math.max(watched.since, since ?? 0),
        counts,
        watched: new Map(Array.from(watched.counts, ([at, { views }]) => [at, views])),
      }
    },
  }
}

/**
 * Changes the counts. If the change fails halfway, for example because an array cannot be allocated, the counts are
 * wrong, so the process exits: after a restart, they are exact again.
 */
function completeOrExit<Result>(change: () => Result): Result {
  try {
    return change()
  } catch (cause) {
    const error = new Error('the counts in memory are wrong, because a change failed halfway', { cause })
    // No request handler catches an error from a microtask, so it ends the process.
    queueMicrotask(() => {
      throw error
    })
    throw error
  }
}
