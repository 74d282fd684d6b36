import type { Verdict } from '../../shared/contracts/view-explanation.ts'
import { createEventWindow } from './event-window.ts'
import type { Judged, KnownEvents } from './judged-events.ts'
import { isWatchRule, type Rule, type RuleEvent } from './view-rule.ts'

/**
 * `reason` is the name of the rule that disqualifies the view, and `because` is the earlier event that triggered the
 * rule.
 */
export type Judgement =
  | { verdict: Extract<Verdict, 'qualified'>; reason?: undefined; because?: undefined }
  | { verdict: Extract<Verdict, 'not-qualified'>; reason: string; because: RuleEvent }

/** Judges the views in the log, in log order, by all rules that do not require watch time. */
export type Judge = {
  /**
   * @param clock the latest time so far at which the log stored a message, in milliseconds since 1970. Unlike event
   *   times, it never goes backwards, so the remembered events depend only on the log.
   */
  judge(event: RuleEvent, clock: number): Judgement
  /** Restores an event that was judged earlier, for all rules. Events must be restored in log order. */
  restore(judged: Judged): void
  /** Restores encoded events for one rule; see EventWindow. */
  restoreEncoded(events: Buffer, rule: string): void
  /** The events that may still affect later events, by rule, in log order. */
  known(): { rule: string; events: KnownEvents }[]
}

export function createJudge(rules: readonly Rule[]): Judge {
  const windows = rules.flatMap((rule) => (isWatchRule(rule) ? [] : [{ rule, window: createEventWindow(rule) }]))
  return {
    judge(event, clock) {
      let judgement: Judgement = QUALIFIED
      for (const { rule, window } of windows) {
        const because = rule.judge(window.add(event, clock), event)
        if (because && judgement === QUALIFIED) judgement = { verdict: 'not-qualified', reason: rule.name, because }
      }
      return judgement
    },
    restore(judged) {
      for (const { window } of windows) window.restore(judged)
    },
    restoreEncoded(events, ruleName) {
      for (const { rule, window } of windows) if (rule.name === ruleName) window.restoreEncoded(events)
    },
    known: () => windows.map(({ rule, window }) => ({ rule: rule.name, events: window.events() })),
  }
}

const QUALIFIED: Judgement = { verdict: 'qualified' }
