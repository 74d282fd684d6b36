import { LIVE_TOP, type LiveEvent, type LiveSnapshot, MAX_LIVE_IDS } from '../../shared/contracts/live.ts'
import type { Play } from '../../shared/contracts/play.ts'
import type { Counts } from '../../shared/contracts/view-counts.ts'
import { createThrottle } from '../../shared/runtime/throttle.ts'
import type { CountedBy } from '../count-store.ts'
import { hasQualified } from '../watch/watch-changes.ts'
import type { CountState } from './count-state.ts'
import { qualifiedOf } from './totals.ts'
import type { ViewCounts } from './view-counts.ts'

/** Minimum interval between two events. */
const MIN_INTERVAL_MS = 250

export type LiveCounts = ViewCounts & {
  /** Publishes the counts and their changes to one subscriber at a time. Returns a function that stops publishing. */
  follow: (publish: (event: LiveEvent) => void) => () => void
}

/** Counts with a change feed. Changes are tracked only while there is a subscriber. */
export function createLiveCounts(
  counts: ViewCounts,
  state: Pick<CountState, 'views' | 'totals' | 'seconds'>,
): LiveCounts {
  const { seconds } = state
  let publisher: ReturnType<typeof createPublisher> | undefined

  function createPublisher(publish: (event: LiveEvent) => void) {
    let changed = createChangedIds()
    let publishedSeconds = new Map(seconds.counts())
    const throttle = createThrottle(publishChanges, MIN_INTERVAL_MS)

    function publishChanges(): void {
      const event: LiveEvent = changed.isFull()
        ? { event: 'snapshot', data: snapshot() }
        : { event: 'changes', data: changes() }
      changed = createChangedIds()
      publishedSeconds = new Map(seconds.counts())
      publish(event)
    }

    function changes() {
      const changedSeconds = [...seconds.counts()].filter(([second, n]) => publishedSeconds.get(second) !== n)
      return {
        views: state.views,
        assets: numbersOf('asset', 'views'),
        users: numbersOf('user', 'views'),
        seconds: Object.fromEntries(changedSeconds),
        qualified: {
          total: qualifiedOf(state),
          assets: numbersOf('asset', 'qualified'),
          users: numbersOf('user', 'qualified'),
        },
        viewers: numbersOf('asset', 'viewers'),
      }
    }

    function numbersOf(by: CountedBy, of: keyof Counts): Record<string, number> {
      const ids = by === 'asset' ? changed.assets : changed.users
      return Object.fromEntries(Array.from(ids, (id) => [id, counts.counts(by, id)?.[of] ?? 0]))
    }

    return {
      add(plays: readonly Play[]) {
        changed.add(plays)
        throttle.request()
      },
      stop: throttle.cancel,
    }
  }

  function snapshot(): LiveSnapshot {
    const top = { assets: counts.top('asset', 'views', LIVE_TOP), users: counts.top('user', 'views', LIVE_TOP) }
    return { views: state.views, qualified: qualifiedOf(state), top, seconds: Object.fromEntries(seconds.counts()) }
  }

  function track(plays: readonly (Play & { at: number })[]): void {
    seconds.add(plays)
    if (plays.length > 0) publisher?.add(plays)
  }

  return {
    ...counts,
    count(play) {
      const counted = counts.count(play)
      track([{ ...play, at: Date.now() }])
      return counted
    },
    apply(batch) {
      const applied = counts.apply(batch)
      if (!applied) return undefined
      track(applied.views)
      const qualified = applied.grown.filter(hasQualified).map(({ view }) => view)
      if (qualified.length > 0) publisher?.add(qualified)
      return applied
    },
    follow(publish) {
      publish({ event: 'snapshot', data: snapshot() })
      const current = createPublisher(publish)
      publisher = current
      return () => {
        current.stop()
        if (publisher === current) publisher = undefined
      }
    },
  }
}

/** The ids that changed since the last event. Stops collecting once full, because a snapshot is then sent instead. */
function createChangedIds() {
  const assets = new Set<string>()
  const users = new Set<string>()
  const isFull = () => assets.size + users.size > MAX_LIVE_IDS
  return {
    assets,
    users,
    isFull,
    add(plays: readonly Play[]) {
      for (const { assetId, userId } of plays) {
        if (isFull()) return
        assets.add(assetId)
        users.add(userId)
      }
    },
  }
}
