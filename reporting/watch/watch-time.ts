import type { Verdict } from '../../shared/contracts/view-explanation.ts'
import type { RuleEvent, WatchRule } from '../rules/view-rule.ts'

/** How long a view stays open to watch-time reports, in whole seconds of the log's clock. After that, it closes. */
const OPEN_S = 86_400
/** The longest time that a view can stay open, in milliseconds: it closes only at the end of a second. */
export const OPEN_MS = (OPEN_S + 1) * 1_000

/** How many of the last early reports, in log order, are kept. Changing this limit would change verdicts. */
export const MAX_EARLY_REPORTS = 100_000

/** Watch times are in whole milliseconds, because sums of fractions depend on the order of addition. */
export function toMs(seconds: number): number {
  return Math.round(seconds * 1_000)
}

/** Converts the log's clock to whole seconds. Views that were counted in the same second close at the same time. */
export function toSecond(clock: number): number {
  return Math.floor(clock / 1_000)
}

/** The earliest second whose views are still open at the given time by the log's clock. */
export function openSince(clock: number): number {
  return toSecond(clock) - OPEN_S
}

/** Returns true if a view or an early report is still open. `storedAt` is the log's clock when the log stored it. */
export function isOpen(storedAt: number, clock: number): boolean {
  return toSecond(storedAt) >= openSince(clock)
}

/** `requiredMs`: undefined if a rule disqualifies the view. `watchedMs`: the greatest reported time, if any. */
export type WatchTime = { clock: number; requiredMs?: number | undefined; watchedMs?: number | undefined }

/** A counted view whose watch time may still grow. */
export type OpenView = RuleEvent & WatchTime

export type EarlyReport = { viewId: string; assetId: string; userId: string; ms: number; clock: number }

/** The reports whose views are not in the log yet. The last MAX_EARLY_REPORTS are kept. */
type EarlyReports = {
  /** The last report of the same view, asset and user. */
  find(play: Omit<EarlyReport, 'ms' | 'clock'>): EarlyReport | undefined
  add(report: EarlyReport): void
}

/** The data needed to apply watch-time reports. */
export type WatchState = {
  rule: WatchRule
  early: EarlyReports
  /** The last view with this id that was counted in an earlier batch. It may have closed. */
  find(viewId: string): OpenView | undefined
}

/**
 * Returns the verdict on a view that qualifies only if it is watched for long enough.
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
