import type { Verdict } from '../../shared/contracts/view-explanation.ts'
import type { RuleEvent, WatchRule } from '../rules/view-rule.ts'

/** How long reports count for a view, in whole seconds of the log's clock. */
const OPEN_S = 86_400
/** The maximum of this time in milliseconds: reports count until the end of the last second. */
export const OPEN_MS = (OPEN_S + 1) * 1_000

/** How many of the last reports without a view are kept, in log order. A different number would change verdicts. */
export const MAX_EARLY_REPORTS = 100_000

/** All times of views and reports are in whole milliseconds: sums of fractions depend on their order. */
export function toMs(seconds: number): number {
  return Math.round(seconds * 1_000)
}

/** The second of the log's clock, in which views open and close together. */
export function toSecond(clock: number): number {
  return Math.floor(clock / 1_000)
}

/** The first second whose views are open at a time of the log's clock. */
export function openSince(clock: number): number {
  return toSecond(clock) - OPEN_S
}

/** Returns true if reports still count for a view or report that the log stored when its clock was `since`. */
export function isOpen(since: number, clock: number): boolean {
  return toSecond(since) >= openSince(clock)
}

/** `requiredMs`: undefined if a rule disqualifies the view. `watchedMs`: the greatest report; undefined without one. */
export type WatchTime = { clock: number; requiredMs?: number | undefined; watchedMs?: number | undefined }

/** A counted view whose watch time may still grow. */
export type OpenView = RuleEvent & WatchTime

export type EarlyReport = { viewId: string; assetId: string; userId: string; ms: number; clock: number }

/** The reports whose views are not in the log yet. The last MAX_EARLY_REPORTS are kept. */
export type EarlyReports = {
  /** The last report of the same view by the same user and asset. */
  find(play: Omit<EarlyReport, 'ms' | 'clock'>): EarlyReport | undefined
  add(report: EarlyReport): void
}

/** What is known about watch times. */
export type WatchState = {
  rule: WatchRule
  early: EarlyReports
  /** The last view with this id that was counted in an earlier batch. It may have closed. */
  find(viewId: string): OpenView | undefined
}

/**
 * The verdict on a view that qualifies only if it is watched for long enough.
 * @param clock the log's clock
 */
export function judgeWatchTime(
  view: Omit<WatchTime, 'requiredMs'> & { requiredMs: number },
  rule: WatchRule,
  clock: number,
): { verdict: Verdict; reason: string | undefined } {
  if (isEnough(view)) return { verdict: 'qualified', reason: undefined }
  if (isOpen(view.clock, clock)) return { verdict: 'pending', reason: rule.name }
  return { verdict: 'not-qualified', reason: view.watchedMs === undefined ? rule.unreported : rule.name }
}

export function isEnough({ requiredMs, watchedMs }: Omit<WatchTime, 'clock'>): boolean {
  return requiredMs !== undefined && watchedMs !== undefined && watchedMs >= requiredMs
}
