import type { ViewExplanation } from '../../shared/contracts/view-explanation.ts'
import { type RulesVersion, watchRuleOf } from '../rules/rule-sets.ts'
import { judgeWatchTime, type WatchTime } from './watch-time.ts'

type Watched = WatchTime & {
  version: RulesVersion
  /** The log's clock. */
  now: number
}

/** Returns what watch time adds to a view's explanation; undefined if the rules do not require watch time. */
export function explainWatchTime({ version, now, clock, requiredMs, watchedMs }: Watched) {
  const rule = watchRuleOf(version)
  if (!rule) return undefined
  const watched = { secondsWatched: watchedMs === undefined ? null : watchedMs / 1_000 }
  if (requiredMs === undefined) return watched
  const { verdict, reason = null } = judgeWatchTime({ clock, requiredMs, watchedMs }, rule, now)
  return { verdict, reason, ...watched, secondsRequired: requiredMs / 1_000 } satisfies Partial<ViewExplanation>
}
