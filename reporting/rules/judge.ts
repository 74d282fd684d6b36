import type { Verdict } from '../../shared/contracts/view-explanation.ts'
import { isWatchRule, type Rule, type RuleEvent, type ViewRule } from './view-rule.ts'

/** `reason` is the name of the rule that objects, and `because` the earlier event that decided it. */
export type Judgement =
  | { verdict: Extract<Verdict, 'qualified'>; reason?: undefined; because?: undefined }
  | { verdict: Extract<Verdict, 'not-qualified'>; reason: string; because: RuleEvent }

/** An event, and the log's clock when it was judged. */
export type Judged = { event: RuleEvent; clock: number }

/** Folds the rules over the views of the log, except those that require watch time. */
export type Judge = {
  /**
   * @param clock the latest time at which the log stored a message so far, in milliseconds since 1970. Unlike the times
   *   of events it never goes back, so what is still known depends on the log alone.
   */
  judge(event: RuleEvent, clock: number): Judgement
  /**
   * Restores an event that was judged earlier. Events with the same key must be restored in log order.
   * @param rule the only rule that still knows it; undefined if all of them do
   */
  restore(judged: Judged, rule?: string): void
  /** The events that may still concern later ones, by rule, in log order. */
  known(): { rule: string; events: Judged[] }[]
}

export function createJudge(rules: readonly Rule[]): Judge {
  const windows = rules.flatMap((rule) => (isWatchRule(rule) ? [] : [{ rule, window: createWindow(rule) }]))
  return {
    judge(event, clock) {
      const judged = { event, clock }
      let judgement: Judgement = QUALIFIED
      for (const { rule, window } of windows) {
        const because = rule.judge(window.add(judged), event)
        if (because && judgement === QUALIFIED) judgement = { verdict: 'not-qualified', reason: rule.name, because }
      }
      return judgement
    },
    restore(judged, ruleName) {
      for (const { rule, window } of windows) if (rule.name === (ruleName ?? rule.name)) window.add(judged)
    },
    known: () => windows.map(({ rule, window }) => ({ rule: rule.name, events: window.events() })),
  }
}

const QUALIFIED: Judgement = { verdict: 'qualified' }
const NONE: readonly never[] = []

/** `events` are in log order. Those with the same key are in `byKey`, as far as they are kept. */
type Generation = { byKey: Map<string, Judged[]>; events: Judged[] }

const createGeneration = (): Generation => ({ byKey: new Map(), events: [] })

/**
 * The last events by key. Two generations hold the events of one to two times the window: dropping a whole generation
 * costs less than evicting single events.
 */
function createWindow({ keyOf, windowMs, keeps }: ViewRule) {
  let previous = createGeneration()
  let current = createGeneration()
  /** No event of the previous generation is later. */
  let startedAt = Number.NEGATIVE_INFINITY
  let latest = startedAt
  const isKnown = ({ clock }: Judged) => latest - clock <= windowMs

  function advance(clock: number): void {
    latest = Math.max(latest, clock)
    if (latest - startedAt <= windowMs) return
    previous = current
    current = createGeneration()
    startedAt = latest
  }

  return {
    /** Adds an event, and returns the earlier ones with the same key. */
    add(judged: Judged): readonly RuleEvent[] {
      advance(judged.clock)
      const key = keyOf(judged.event)
      const earlier = (current.byKey.get(key) ?? previous.byKey.get(key))?.filter(isKnown)
      current.byKey.set(key, earlier ? [...earlier, judged].slice(-keeps) : [judged])
      current.events.push(judged)
      return earlier?.map(({ event }) => event) ?? NONE
    },
    /** Copies arrays as a whole, because a checkpoint waits for it. */
    events(): Judged[] {
      const first = previous.events.findIndex(isKnown)
      const known = first < 0 ? [] : previous.events.slice(first)
      return known.concat(current.events)
    },
  }
}
