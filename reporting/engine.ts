import type { EventBatch, SerialRange } from '../shared/contracts/event-batch.ts'
import { KEY_MAX_AGE_MS, type View } from '../shared/contracts/view.ts'
import { createDeduplicator, type DeduplicationState, type NumberedBatch } from './deduplicator.ts'
import type { Judge, Judgement } from './rules/judge.ts'
import type { RuleEvent } from './rules/view-rule.ts'

/** A view in the log. `clock` is the latest time at which the log stored a message so far, `at` that of the play. */
export type LoggedView = RuleEvent &
  Pick<View, 'producer' | 'serial' | 'predecessor' | 'keyed'> & {
    sequence: number
    clock: number
  }

export type JudgedView = LoggedView & Judgement

/** What a batch adds to the counts. */
export type Verdicts = {
  /** The views, with their verdicts. */
  views: JudgedView[]
  /** Number of events that the log contains more than once. */
  duplicates: number
  /** Number of events that repeat the id of a view, from an idempotent retry. */
  retried: number
  /** Number of events that reuse the idempotency key of another play. */
  keysReused: number
  /** Serials of views that the log acknowledged and lost. */
  gaps: SerialRange[]
}

/** The keyed views that are still known. */
export type KnownKeys = {
  /** Returns the last view with this id. */
  find(id: string): RuleEvent | undefined
  add(view: LoggedView): void
}

/** What is known of the log so far. A count store keeps it together with its counts. */
export type EngineState = {
  deduplication: DeduplicationState
  keys: KnownKeys
  judge: Judge
  /** The latest time at which the log stored a message, in milliseconds since 1970; 0 before the first one. */
  clock: number
}

export type EngineBatch = NumberedBatch & Pick<EventBatch, 'messages'>

/**
 * Folds batches of the log into `state`, and returns what each of them adds to the counts. The result depends on the log
 * alone: not on how it is divided into batches, nor on the store.
 */
export function createEngine(state: EngineState, maxProducers?: number): (batch: EngineBatch) => Verdicts {
  const deduplicate = createDeduplicator(state.deduplication, maxProducers)
  const { keys, judge } = state

  function findOriginal({ id, at }: LoggedView): RuleEvent | undefined {
    const original = keys.find(id)
    return original && Math.abs(at - original.at) <= KEY_MAX_AGE_MS ? original : undefined
  }

  return (batch) => {
    const logged = toLoggedViews(batch, state.clock)
    state.clock = logged.at(-1)?.clock ?? state.clock
    const { views: unique, gaps } = deduplicate({ ...batch, views: logged })
    const verdicts: Verdicts = { views: [], duplicates: 0, retried: 0, keysReused: 0, gaps }
    verdicts.duplicates = logged.length - unique.length
    for (const view of unique) {
      const original = view.keyed && findOriginal(view)
      if (original && isSamePlay(original, view)) verdicts.retried += 1
      else if (original) verdicts.keysReused += 1
      else {
        if (view.keyed) keys.add(view)
        verdicts.views.push(Object.assign(view, judge.judge(toRuleEvent(view), view.clock)))
      }
    }
    return verdicts
  }
}

/** A copy, so that what is kept of a view takes little memory. */
function toRuleEvent({ id, assetId, userId, at }: LoggedView): RuleEvent {
  return { id, assetId, userId, at }
}

function isSamePlay(a: RuleEvent, b: RuleEvent): boolean {
  return a.assetId === b.assetId && a.userId === b.userId
}

/** Adds the message of each view. Without messages, which a previous release did not send, the batch is one message. */
function toLoggedViews({ views, messages, through }: EngineBatch, startClock: number): LoggedView[] {
  const logged: LoggedView[] = []
  let clock = startClock
  for (const message of messages ?? [{ sequence: through, views: views.length, at: undefined }]) {
    const { sequence } = message
    if (message.at !== undefined) clock = Math.max(clock, Date.parse(message.at))
    for (let left = message.views; left > 0; left -= 1) {
      const view = views[logged.length]
      if (view === undefined) break
      const at = Date.parse(view.at)
      if (message.at === undefined) clock = Math.max(clock, at)
      logged.push({ ...view, at, sequence, clock })
    }
  }
  return logged
}
