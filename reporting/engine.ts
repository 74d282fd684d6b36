import type { EventBatch, SerialRange, SkippedMessage } from '../shared/contracts/event-batch.ts'
import { KEY_MAX_AGE_MS } from '../shared/contracts/view.ts'
import { createDeduplicator, type DeduplicationState, type NumberedBatch } from './deduplicator.ts'
import { isWatchReport, type LoggedEvent, type LoggedView, toLoggedEvents } from './logged-events.ts'
import type { Judge, Judgement } from './rules/judge.ts'
import type { RuleEvent } from './rules/view-rule.ts'
import type { WatchState } from './watch/watch-time.ts'
import { createWatching, type Growth, type IgnoredReport } from './watch/watching.ts'

/** `requiredMs`: the watch time that the view needs. `watchedMs`: its watch time after the batch. See WatchTime. */
export type JudgedView = LoggedView & (Judgement | Pending) & { requiredMs?: number; watchedMs?: number }

/** `reason` is the name of the rule that requires watch time. */
type Pending = { verdict: 'pending'; reason: string; because?: undefined }

/** What a batch adds to the counts. */
export type Verdicts = {
  /** The views, with their verdicts after the batch. */
  views: JudgedView[]
  /** The earlier views whose watch times the batch increased. */
  grown: Growth[]
  /** Why watch-time reports had no effect: one entry per report. */
  ignoredReports: IgnoredReport[]
  /** Number of views that were dropped as duplicates. */
  duplicates: number
  /** Number of idempotent retries: events that repeat an earlier view's id. */
  retried: number
  /** Number of events that reuse another play's idempotency key. */
  keysReused: number
  /** The serials of views that the log acknowledged but lost. */
  gaps: SerialRange[]
}

/** The views with an idempotency key that are still remembered. */
export type KnownKeys = {
  /** Returns the last view with this id. */
  find(id: string): RuleEvent | undefined
  add(view: LoggedView): void
}

/** What the engine remembers about the log so far. A count store keeps this state together with its counts. */
export type EngineState = {
  deduplication: DeduplicationState
  keys: KnownKeys
  judge: Judge
  /** Undefined if the rules do not require watch time. */
  watch?: WatchState | undefined
  /** The latest time at which the log stored a message, in milliseconds since 1970; 0 before the first message. */
  clock: number
}

export type EngineBatch = NumberedBatch & Pick<EventBatch, 'messages' | 'watched'>

/**
 * Applies the log's batches to `state`, and returns what each batch adds to the counts. The result depends only on the
 * log, not on the batching or the store.
 */
export function createEngine(state: EngineState, maxProducers?: number): (batch: EngineBatch) => Verdicts {
  const deduplicate = createDeduplicator(state.deduplication, maxProducers)
  const { keys, judge, watch } = state

  function findOriginal({ id, at }: LoggedView): RuleEvent | undefined {
    const original = keys.find(id)
    return original && Math.abs(at - original.at) <= KEY_MAX_AGE_MS ? original : undefined
  }

  return (batch) => {
    const logged = toLoggedEvents(batch, state.clock)
    state.clock = logged.at(-1)?.clock ?? state.clock
    const { views: unique, gaps } = deduplicate({ ...batch, views: logged })
    const watching = watch && createWatching(watch)
    const verdicts: Verdicts = {
      views: [],
      grown: [],
      ignoredReports: [],
      duplicates: countViews(logged) - countViews(unique),
      retried: 0,
      keysReused: 0,
      gaps,
    }

    function count(view: LoggedView): void {
      const original = view.keyed && findOriginal(view)
      if (original && isSamePlay(original, view)) verdicts.retried += 1
      else if (original) verdicts.keysReused += 1
      else {
        if (view.keyed) keys.add(view)
        const judged: JudgedView = Object.assign(view, judge.judge(view, view.clock))
        watching?.add(judged)
        verdicts.views.push(judged)
      }
    }

    for (const event of unique) {
      if (!isWatchReport(event)) count(event)
      else {
        const ignored = watching ? watching.report(event, event.clock) : 'unused'
        if (ignored) verdicts.ignoredReports.push(ignored)
      }
    }
    verdicts.grown = watching?.grown() ?? []
    return verdicts
  }
}

function countViews(events: readonly LoggedEvent[]): number {
  return events.reduce((sum, event) => (isWatchReport(event) ? sum : sum + 1), 0)
}

/** Each dead letter counts as at least one event, because its ids may be unreadable. */
export function countSkipped(skipped: readonly SkippedMessage[] = []): number {
  return skipped.reduce((sum, { ids }) => sum + Math.max(1, ids.length), 0)
}

function isSamePlay(a: RuleEvent, b: RuleEvent): boolean {
  return a.assetId === b.assetId && a.userId === b.userId
}
