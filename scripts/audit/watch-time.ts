import type { View, WatchedView } from '../../shared/contracts/view.ts'

const DAY_S = 86_400
const ENOUGH_MS = 30_000

type Play = { assetId: string; userId: string; clock: number }

/** A view whose watch time is recounted. `onEnough` is undefined if watch time can no longer change the verdict. */
type Watched = Play & { requiredMs: number; ms: number | undefined; onEnough: (() => void) | undefined }

type Callbacks = {
  /** Called with the increase in the view's watch time, in milliseconds. */
  onGrowth: (ms: number) => void
  onEnough: (() => void) | undefined
  /** Called with the reason if the view has not qualified after 24 hours. */
  onClosed: (reason: string) => void
}

/** Recounts watch-time reports as `docs/counting.md` describes, with unbounded maps. */
export function createWatchTimes() {
  const lastViews = new Map<string, Watched & Callbacks>()
  const early = new Map<string, { ms: number; clock: number }>()
  const open: (Watched & Callbacks)[] = []
  let closed = 0

  const isOpen = (openedAt: number, clock: number) => Math.floor(clock / 1_000) - Math.floor(openedAt / 1_000) <= DAY_S
  const keyOf = (viewId: string, { assetId, userId }: Pick<Play, 'assetId' | 'userId'>) =>
    JSON.stringify([viewId, assetId, userId])

  function watch(view: Watched & Callbacks, ms: number): void {
    if (view.ms !== undefined && view.ms >= ms) return
    view.onGrowth(ms - (view.ms ?? 0))
    view.ms = ms
    if (ms < view.requiredMs || !view.onEnough) return
    view.onEnough()
    view.onEnough = undefined
  }

  return {
    add({ id, assetId, userId, duration = DAY_S }: View, clock: number, callbacks: Callbacks): void {
      const requiredMs = Math.min(ENOUGH_MS, Math.ceil((duration * 1_000) / 2))
      const view = { assetId, userId, clock, requiredMs, ms: undefined, ...callbacks }
      lastViews.set(id, view)
      open.push(view)
      const report = early.get(keyOf(id, view))
      if (report && isOpen(report.clock, clock)) watch(view, report.ms)
    },
    report({ viewId, seconds, ...play }: WatchedView, clock: number): void {
      const ms = Math.round(seconds * 1_000)
      const view = lastViews.get(viewId)
      if (view && isOpen(view.clock, clock)) {
        if (view.assetId === play.assetId && view.userId === play.userId) watch(view, ms)
        return
      }
      const key = keyOf(viewId, play)
      const previous = early.get(key)
      const greatest = previous && isOpen(previous.clock, clock) ? Math.max(previous.ms, ms) : ms
      early.set(key, { ms: greatest, clock })
    },
    /** Closes the views that are more than 24 hours old. */
    close(clock: number): void {
      for (let view = open[closed]; view && !isOpen(view.clock, clock); view = open[closed]) {
        if (view.onEnough) view.onClosed(view.ms === undefined ? 'no-watch-report' : 'watch-time')
        view.onEnough = undefined
        closed += 1
      }
    },
  }
}
