import type { WatchedView } from '../../shared/contracts/view.ts'
import type { Verdict } from '../../shared/contracts/view-explanation.ts'
import { isEnough, isOpen, type OpenView, toMs, type WatchState } from './watch-time.ts'

/** Why a report has no effect. An `unknown-view` report takes effect once the log stores its view. */
export const IGNORED_REPORTS = ['unknown-view', 'other-play', 'unused'] as const
export type IgnoredReport = (typeof IGNORED_REPORTS)[number]

/** A view from an earlier batch whose watch time has grown, and its watch time before the batch. */
export type Growth = { view: OpenView; beforeMs: number | undefined }

/** A view in the batch. Its verdict changes with its watch time. */
type BatchView = OpenView & { verdict: Verdict; reason?: string | undefined; duration?: number | undefined }

/** Applies the reports of one batch, in log order. */
type Watching = {
  /** Adds a view after it has been judged. */
  add(view: BatchView): void
  /** @returns why the report has no effect; undefined if it takes effect */
  report(report: WatchedView, clock: number): IgnoredReport | undefined
  grown(): Growth[]
}

export function createWatching({ rule, early, find }: WatchState): Watching {
  /** The batch's last view with each id. */
  const batchViews = new Map<string, BatchView>()
  /** The views from earlier batches for which the batch has reports, by id. */
  const earlier = new Map<string, OpenView | undefined>()
  /** The earlier views whose watch times have grown, and their watch times before the batch. */
  const before = new Map<OpenView, number | undefined>()

  function raise(view: BatchView | OpenView, ms: number): void {
    if (view.watchedMs !== undefined && view.watchedMs >= ms) return
    if (!('verdict' in view) && !before.has(view)) before.set(view, view.watchedMs)
    view.watchedMs = ms
    if ('verdict' in view && view.verdict === 'pending' && isEnough(view))
      Object.assign(view, { verdict: 'qualified', reason: undefined })
  }

  return {
    add(view) {
      if (view.verdict === 'qualified') {
        view.requiredMs = rule.requiredMs(view.duration)
        Object.assign(view, { verdict: 'pending', reason: rule.name })
      }
      batchViews.set(view.id, view)
      const { id: viewId, assetId, userId, clock } = view
      const report = early.find({ viewId, assetId, userId })
      if (report && isOpen(report.clock, clock)) raise(view, report.ms)
    },
    report({ viewId, assetId, userId, seconds }, clock) {
      const ms = toMs(seconds)
      const view = batchViews.get(viewId) ?? earlier.getOrInsertComputed(viewId, find)
      if (!view || !isOpen(view.clock, clock)) {
        const previous = early.find({ viewId, assetId, userId })
        const greatest = previous && isOpen(previous.clock, clock) ? Math.max(previous.ms, ms) : ms
        early.add({ viewId, assetId, userId, ms: greatest, clock })
        return 'unknown-view'
      }
      if (view.assetId !== assetId || view.userId !== userId) return 'other-play'
      raise(view, ms)
      return undefined
    },
    grown: () => Array.from(before, ([view, beforeMs]) => ({ view, beforeMs })),
  }
}
