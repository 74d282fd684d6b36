import { randomUUID } from 'node:crypto'
import type { LostViews } from '../../shared/contracts/lost-views.ts'
import type { LogPosition } from '../../shared/contracts/position.ts'
import { eventCodec } from '../../shared/records/event-codec.ts'
import { createRecentRecords, type RecentRecords } from '../../shared/records/recent-records.ts'
import type { CountedBy } from '../count-store.ts'
import type { EngineState } from '../engine.ts'
import { createRecentSeconds, type RecentSeconds } from '../recent-seconds.ts'
import { createJudge } from '../rules/judge.ts'
import { DEFAULT_RULES, type RulesVersion, ruleSets } from '../rules/rule-sets.ts'
import type { RuleEvent } from '../rules/view-rule.ts'
import { type VerdictRecord, verdictCodec } from '../verdict-record.ts'
import { type CountMap, createCountMap } from './count-map.ts'
import { DEFAULT_KEPT, DEFAULT_SERIES_KEPT, type Kept } from './kept.ts'
import { createKnownIds, type RecentIds } from './known-ids.ts'
import { createSeriesMap, type SeriesMap, type SeriesSince } from './series-map.ts'
import { createTotals, type Totals } from './totals.ts'
import { createViewers, type Viewers } from './viewers.ts'
import { createWatchedViews, keepsOpen, type WatchedViews } from './watched-views.ts'

/** Everything that changes when views are counted. A checkpoint contains all of it, except `changes`. */
export type CountState = EngineState & {
  /** Identifies these counts. The id stays the same as long as the counts survive restarts. */
  id: string
  /** The version of the view rules that judged the views. */
  rules: RulesVersion
  /** The log position that the counts reflect; undefined before the first batch. */
  position: LogPosition | undefined
  counts: Record<CountedBy, CountMap>
  viewers: Viewers
  deduplication: EngineState['deduplication'] & { knownIds: RecentIds }
  keys: RecentRecords<RuleEvent>
  verdicts: RecentRecords<VerdictRecord>
  lost: LostViews
  /** The number of views counted. */
  views: number
  totals: Totals
  series: SeriesMap
  seconds: RecentSeconds
  /** Undefined if the rules do not require watch time. */
  watch: WatchedViews | undefined
  /** The number of changes since this process started. */
  changes: number
}

type Options = {
  kept?: Kept
  rules?: RulesVersion
  viewersSeed?: number
  seriesSince?: SeriesSince
  watchSince?: SeriesSince | undefined
}

/** A state without views. */
export function createCountState(options: Options = {}): CountState {
  const { kept = DEFAULT_KEPT, rules = DEFAULT_RULES, viewersSeed, seriesSince = {}, watchSince = {} } = options
  const verdicts = createRecentRecords({ max: kept.verdicts, codec: verdictCodec, keeps: keepsOpen(rules) })
  const seriesKept = kept.series ?? DEFAULT_SERIES_KEPT
  return {
    id: randomUUID(),
    rules,
    position: undefined,
    counts: { asset: createCountMap(), user: createCountMap() },
    viewers: createViewers(viewersSeed),
    deduplication: { isComplete: true, producers: new Map(), knownIds: createKnownIds() },
    keys: createRecentRecords({ max: kept.keys, codec: eventCodec }),
    verdicts,
    judge: createJudge(ruleSets[rules]),
    clock: 0,
    lost: { views: 0, gaps: [] },
    views: 0,
    totals: createTotals(),
    series: createSeriesMap({ max: seriesKept, since: seriesSince }),
    seconds: createRecentSeconds(),
    watch: createWatchedViews(rules, { verdicts, seriesKept, seriesSince: watchSince }),
    changes: 0,
  }
}
