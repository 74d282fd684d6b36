import { MAX_LIVE_IDS } from '../../shared/contracts/live.ts'
import type { Play } from '../../shared/contracts/play.ts'
import type { CountedBy } from '../count-store.ts'
import { createRecentSeconds } from '../recent-seconds.ts'
import { toIdArray, toNumberArray } from './literals.ts'
import { STATE_COLUMNS } from './state.ts'

type Change = {
  /** An assignment for each column of the state that changes. */
  set: readonly string[]
  /** The condition under which anything changes. */
  where: string
  views: readonly (Play & { at: string })[]
  /** Common table expressions that the condition and the assignments refer to. */
  before?: readonly string[]
  /** Further ones, which may refer to `moved`, the updated state. */
  after?: readonly string[]
}

/** The columns that a count statement returns after those of the state. */
export const COUNT_COLUMNS = { assetViews: 8, userViews: 9, assetCandidates: 10, userCandidates: 11, more: 12 }

/**
 * One statement that updates the state and, only if it did, the counts. Every writer updates the one row of the state
 * first, so writers take turns, and cannot deadlock.
 * @param columns further columns of the result
 */
export function toCountStatement(
  { set, where, views, before = [], after = [] }: Change,
  columns: readonly string[] = [],
): string {
  const hasViews = views.length > 0
  const assignments = hasViews ? [...set, `version = version + 1, views = views + ${views.length}`] : set
  const expressions = [
    ...before,
    `moved as (update reporting.state set ${assignments.join(', ')} where ${where} returning *)`,
    ...(hasViews ? [...toUpserts('asset', views), ...toUpserts('user', views), ...toLive(views)] : []),
    ...after,
  ]
  const counted = hasViews ? COUNTED : ['null', 'null', 'null', 'null']
  return `with ${expressions.join(',\n')} select ${[STATE_COLUMNS, ...counted, ...columns].join(', ')} from moved`
}

const COUNTED = [
  '(select max(views) from asset_counted)',
  '(select max(views) from user_counted)',
  '(select candidates from asset_size)',
  '(select candidates from user_size)',
]

/**
 * Adds the views of assets or users. Counts only rise, so an id becomes a candidate for the top list when it passes the
 * last id of the last cut.
 */
function toUpserts(by: CountedBy, views: readonly Play[]): string[] {
  const counts = toCounts(views.map((view) => (by === 'asset' ? view.assetId : view.userId)))
  const ids = counts.map(([id]) => id)
  const numbers = counts.map(([, views]) => views)
  const isFirst = (views: string) => `(-${views}, id) < (-${by}_cut_views, ${by}_cut_id)`
  return [
    `${by}_added as materialized (
      select id, added from unnest(${toIdArray(ids)}, ${toNumberArray(numbers)}) as counts(id, added))`,
    `${by}_counted as (
      insert into reporting.${by}_views as current (id, views)
      select id, added from ${by}_added where exists (select from moved)
      on conflict (id) do update set views = current.views + excluded.views returning id, views)`,
    `${by}_ranked as materialized (
      select id, views, views - added as before from ${by}_counted join ${by}_added using (id))`,
    `${by}_candidate as (
      insert into reporting.top_candidate (by, id)
      select '${by}', id from ${by}_ranked, (select ${by}_cut_views, ${by}_cut_id from moved limit 1) as cut
      where case when ${by}_cut_views is null then before = 0
        else ${isFirst('views')} and not ${isFirst('before')} end
      on conflict do nothing returning 1)`,
    `${by}_size as (
      insert into reporting.size as current (by, ids, candidates)
      select '${by}', (select count(*) from ${by}_ranked where before = 0), (select count(*) from ${by}_candidate)
      where exists (select from moved)
      on conflict (by) do update
      set ids = current.ids + excluded.ids, candidates = current.candidates + excluded.candidates
      where excluded.ids + excluded.candidates > 0
      returning candidates)`,
  ]
}

/** Records what the live counts publish: the changed ids, unless there are too many, and the views per second. */
function toLive(views: readonly (Play & { at: string })[]): string[] {
  const assets = new Set(views.map(({ assetId }) => assetId))
  const users = new Set(views.map(({ userId }) => userId))
  const areFew = assets.size + users.size <= MAX_LIVE_IDS
  const ids = areFew ? `${toIdArray([...assets])}, ${toIdArray([...users])}` : 'null, null'
  const recent = createRecentSeconds()
  recent.add(views)
  const seconds = [...recent.counts()]
  const change = `change as (
    insert into reporting.change (version, assets, users) select version, ${ids} from moved)`
  if (seconds.length === 0) return [change]
  const keys = toNumberArray(seconds.map(([second]) => second))
  const numbers = toNumberArray(seconds.map(([, views]) => views))
  return [
    change,
    `second as (
      insert into reporting.recent_second as current (second, views)
      select * from unnest(${keys}, ${numbers}) as counts(second, views) where exists (select from moved)
      on conflict (second) do update set views = current.views + excluded.views)`,
  ]
}

/** Counts the occurrences of each id. Sorted by id, so that adjacent entries of the index are updated together. */
function toCounts(ids: readonly string[]): [string, number][] {
  const counts = new Map<string, number>()
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1)
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1))
}
