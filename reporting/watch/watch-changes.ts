import type { Verdicts } from '../engine.ts'
import type { TimedView } from '../step-additions.ts'
import { isEnough, openSince, toSecond } from './watch-time.ts'
import type { Growth } from './watching.ts'

/** The numbers of views that wait for watch time: without a report, and with a watch time that is too short. */
export type Waiting = { unreported: number; reported: number }

/** The change in the number of waiting views, keyed by the second of the log's clock in which they were counted. */
export type WaitingChanges = Map<number, Waiting>

export function toWaitingChanges({ views, grown }: Pick<Verdicts, 'views' | 'grown'>): WaitingChanges {
  const changes: WaitingChanges = new Map()

  function add(clock: number, watchedMs: number | undefined, by: number): void {
    const change = changes.getOrInsertComputed(toSecond(clock), () => ({ unreported: 0, reported: 0 }))
    change[watchedMs === undefined ? 'unreported' : 'reported'] += by
  }

  for (const { verdict, clock, watchedMs } of views) if (verdict === 'pending') add(clock, watchedMs, 1)
  for (const { view, beforeMs } of grown) {
    const { clock, requiredMs, watchedMs } = view
    if (requiredMs === undefined || isEnough({ requiredMs, watchedMs: beforeMs })) continue
    add(clock, beforeMs, -1)
    if (!isEnough(view)) add(clock, watchedMs, 1)
  }
  return changes
}

/** Returns true if a second's views have closed: reports no longer count for them. */
export function hasClosed(second: number, clock: number): boolean {
  return second < openSince(clock)
}

/** Returns true if the view qualifies because of the batch. */
export function hasQualified({ view, beforeMs }: Growth): boolean {
  return isEnough(view) && !isEnough({ ...view, watchedMs: beforeMs })
}

/** Returns the growth in watch times as additions to a series whose `views` contain milliseconds. */
export function toWatchGrowth({ views, grown }: Pick<Verdicts, 'views' | 'grown'>) {
  return [
    ...views.map(({ assetId, at, watchedMs = 0 }) => ({ assetId, at, views: watchedMs })),
    ...grown.map(({ view: { assetId, at, watchedMs = 0 }, beforeMs = 0 }) => ({
      assetId,
      at,
      views: watchedMs - beforeMs,
    })),
  ].filter(({ views }) => views > 0)
}

/** Returns what a batch adds to the series: its own views, and the earlier views that qualify because of it. */
export function toTimedViews({ views, grown }: Pick<Verdicts, 'views' | 'grown'>): TimedView[] {
  const qualified = grown.filter(hasQualified)
  if (qualified.length === 0) return views
  return [
    ...views,
    ...qualified.map(({ view: { assetId, at } }) => ({ assetId, at, verdict: 'qualified', views: 0 }) as const),
  ]
}
