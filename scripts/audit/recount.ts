import type { RejectedRange } from '../../shared/contracts/event-batch.ts'
import type { View, WatchedView } from '../../shared/contracts/view.ts'
import { createWatchTimes } from './watch-time.ts'

/** A message in the log, or a dead letter. `at`: when the log stored it, in milliseconds since 1970. */
export type LogEntry = {
  sequence: number
  at: number
  views: View[]
  /** Watch-time reports. `index` is the number of `views` that precede a report. */
  watched?: WatchedView[] | undefined
  /** A dead letter's serials. */
  serials: RejectedRange[]
  /** The number of events in a dead letter; 1 if the dead letter cannot be read. */
  rejected: number
}

/** The versions of the view rules that the recount supports. */
export type Rules = 'v1' | 'v2'

/** `watchedMs`: the total watch time of these views, in milliseconds. */
export type Numbers = { views: number; qualified: number; watchedMs: number }
/** `clock`: the highest `at` among the messages up to this one, in milliseconds since 1970. */
export type Verdict = {
  id: string
  sequence: number
  clock: number
  verdict: string
  reason: string | null
  because: string | null
}

type Play = { id: string; assetId: string; userId: string; at: number; clock: number }

const HALF_MINUTE = 30_000
const DAY = 86_400_000

/**
 * Recounts the log from its first message, as `docs/events.md` describes. The recount is deliberately simple, with
 * unbounded maps. It shares no code with reporting, so a bug in reporting shows up as a difference.
 */
export function createRecount(rules: Rules = 'v1') {
  const highestSerials = new Map<string, number>()
  const unnumbered = new Set<string>()
  const keyed = new Map<string, Play>()
  const lastPlays = new Map<string, Play>()
  const viewers = new Map<string, Set<string>>()
  const watchTimes = createWatchTimes()
  const totals = {
    views: 0,
    qualified: 0,
    pending: 0,
    notQualified: new Map<string, number>(),
    retried: 0,
    rejected: 0,
  }
  const assets = new Map<string, Numbers>()
  const users = new Map<string, Numbers>()
  /** The totals by day, keyed by the start of the day (UTC) in milliseconds since 1970. */
  const days = new Map<number, Numbers>()
  const assetDays = new Map<string, Map<number, Numbers>>()
  const verdicts: Verdict[] = []
  let clock = 0

  function isDuplicate({ producer, serial, id }: View): boolean {
    if (producer === undefined) return false
    if (serial !== undefined) return !raise(producer, serial)
    const key = JSON.stringify([producer, id])
    if (unnumbered.has(key)) return true
    unnumbered.add(key)
    return false
  }

  function raise(producer: string, serial: number): boolean {
    if (serial <= (highestSerials.get(producer) ?? 0)) return false
    highestSerials.set(producer, serial)
    return true
  }

  function isRetry(view: View, play: Play): boolean {
    if (!view.keyed) return false
    const first = keyed.get(view.id)
    if (first && Math.abs(play.at - first.at) <= DAY) {
      if (first.assetId === view.assetId && first.userId === view.userId) totals.retried += 1
      else totals.rejected += 1
      return true
    }
    keyed.set(view.id, play)
    return false
  }

  /** Returns the previous play of the same asset by the same user if the new play repeats it. */
  function findRepeated(play: Play): Play | undefined {
    const pair = `${play.assetId}\n${play.userId}`
    const previous = lastPlays.get(pair)
    lastPlays.set(pair, play)
    if (!previous || clock - previous.clock > HALF_MINUTE) return undefined
    return Math.abs(play.at - previous.at) <= HALF_MINUTE ? previous : undefined
  }

  /** Adds a view without a verdict, and returns functions that update the view. */
  function addView({ id, assetId, userId, at }: Play, sequence: number) {
    const day = Math.floor(at / DAY) * DAY
    const daysOfAsset = assetDays.get(assetId) ?? new Map<number, Numbers>()
    assetDays.set(assetId, daysOfAsset)
    const numbers = [
      numbersOf(assets, assetId),
      numbersOf(users, userId),
      numbersOf(days, day),
      numbersOf(daysOfAsset, day),
    ]
    for (const each of numbers) each.views += 1
    viewers.set(assetId, (viewers.get(assetId) ?? new Set()).add(userId))
    totals.views += 1
    const judged: Verdict = { id, sequence, clock, verdict: 'pending', reason: 'watch-time', because: null }
    verdicts.push(judged)
    return {
      qualify(): void {
        totals.qualified += 1
        for (const each of numbers) each.qualified += 1
        Object.assign(judged, { verdict: 'qualified', reason: null })
      },
      disqualify(reason: string, because: string | null = null): void {
        totals.notQualified.set(reason, (totals.notQualified.get(reason) ?? 0) + 1)
        Object.assign(judged, { verdict: 'not-qualified', reason, because })
      },
      addWatched(ms: number): void {
        for (const each of numbers) each.watchedMs += ms
      },
    }
  }

  function count(view: View, sequence: number): void {
    const { id, assetId, userId } = view
    const play = { id, assetId, userId, at: Date.parse(view.at), clock }
    if (isDuplicate(view) || isRetry(view, play)) return
    const repeated = findRepeated(play)
    const addedView = addView(play, sequence)
    if (repeated) addedView.disqualify('repeat', repeated.id)
    if (rules === 'v2') awaitWatchTime(view, addedView, repeated !== undefined)
    else if (!repeated) addedView.qualify()
  }

  /**
   * Reports add watch time to every view. A repeat is never pending, because its verdict does not depend on watch time.
   */
  function awaitWatchTime(view: View, addedView: ReturnType<typeof addView>, isRepeat: boolean): void {
    if (!isRepeat) totals.pending += 1
    function qualify(): void {
      totals.pending -= 1
      addedView.qualify()
    }
    watchTimes.add(view, clock, {
      onGrowth: addedView.addWatched,
      onEnough: isRepeat ? undefined : qualify,
      onClosed(reason) {
        totals.pending -= 1
        addedView.disqualify(reason)
      },
    })
  }

  function report(watched: WatchedView): void {
    const { producer, serial } = watched
    if (producer !== undefined && serial !== undefined && !raise(producer, serial)) return
    if (rules !== 'v1') watchTimes.report(watched, clock)
  }

  return {
    totals,
    assets,
    users,
    days,
    assetDays,
    viewers,
    verdicts,
    add({ sequence, at, views, watched = [], serials, rejected }: LogEntry): void {
      clock = Math.max(clock, at)
      watchTimes.close(clock)
      totals.rejected += rejected
      for (const { producer, to } of serials) raise(producer, to)
      for (const [index, view] of views.entries()) {
        for (const each of watched) if (each.index === index) report(each)
        count(view, sequence)
      }
      for (const each of watched) if (each.index >= views.length) report(each)
    },
  }
}

function numbersOf<Key>(all: Map<Key, Numbers>, key: Key): Numbers {
  const numbers = all.get(key) ?? { views: 0, qualified: 0, watchedMs: 0 }
  all.set(key, numbers)
  return numbers
}
