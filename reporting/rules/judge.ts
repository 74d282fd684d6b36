import type { Verdict } from '../../shared/contracts/view-explanation.ts'
import type { RuleEvent, ViewRule } from './view-rule.ts'

/** `reason` is the name of the rule that objects, and `because` the earlier event that decided it. */
export type Judgement =
  | { verdict: Extract<Verdict, 'qualified'>; reason?: undefined; because?: undefined }
  | { verdict: Extract<Verdict, 'not-qualified'>; reason: string; because: RuleEvent }

/** An event, and the log's clock when it was judged. */
export type Judged = { event: RuleEvent; clock: number }

/** Folds the rules over the views of the log. */
export type Judge = {
  /**
   * @param clock the latest time at which the log stored a message so far, in milliseconds since 1970. Unlike the times
   *   of events it never goes back, so what is still known depends on the log alone.
   */
  judge(event: RuleEvent, clock: number): Judgement
  /** Restores an event that was judged earlier. Events must be restored in log order. */
  restore(judged: Judged): void
  /** The events that may still concern later ones, by rule, in log order of the last event of each key. */
  known(): { rule: string; events: Iterable<Judged> }[]
}

export function createJudge(rules: readonly ViewRule[]): Judge {
  const windows = rules.map((rule) => ({ rule, window: createWindow(rule) }))
  return {
    judge(event, clock) {
      let judgement: Judgement = { verdict: 'qualified' }
      for (const { rule, window } of windows) {
        const because = rule.judge(window.earlier(event, clock), event)
        if (because && judgement.verdict === 'qualified') {
          judgement = { verdict: 'not-qualified', reason: rule.name, because }
        }
        window.add({ event, clock })
      }
      return judgement
    },
    restore(judged) {
      for (const { window } of windows) window.add(judged)
    },
    known: () => windows.map(({ rule, window }) => ({ rule: rule.name, events: window.events() })),
  }
}

/** The last events by key. Their memory is bounded by the number of events in the window. */
function createWindow({ keyOf, windowMs, keeps }: ViewRule) {
  /** In the order of the last event of each key. */
  const byKey = new Map<string, Judged[]>()
  const isKnown = (judged: Judged, clock: number) => clock - judged.clock <= windowMs

  function knownOf(key: string, clock: number): Judged[] {
    return byKey.get(key)?.filter((judged) => isKnown(judged, clock)) ?? []
  }

  function forgetBefore(clock: number): void {
    for (const [key, judged] of byKey) {
      const last = judged.at(-1)
      if (last && isKnown(last, clock)) return
      byKey.delete(key)
    }
  }

  return {
    earlier: (event: RuleEvent, clock: number) => knownOf(keyOf(event), clock).map(({ event }) => event),
    add(judged: Judged) {
      const key = keyOf(judged.event)
      const kept = [...knownOf(key, judged.clock), judged].slice(-keeps)
      byKey.delete(key)
      byKey.set(key, kept)
      forgetBefore(judged.clock)
    },
    *events() {
      for (const judged of byKey.values()) yield* judged
    },
  }
}
