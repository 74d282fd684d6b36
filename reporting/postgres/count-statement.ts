import { MAX_LIVE_IDS } from '../../shared/contracts/live.ts'
import type { Play } from '../../shared/contracts/play.ts'
import type { Verdict } from '../../shared/contracts/view-explanation.ts'
import type { CountedBy } from '../count-store.ts'
import { createRecentSeconds } from '../recent-seconds.ts'
import { toIdArray, toNumberArray } from './literals.ts'
import { AFTER_STATE, STATE_COLUMNS } from './state.ts'
import { candidatesColumn, cutColumns, RANKINGS, type Ranking } from './top.ts'
import { toViewerWrites } from './viewers.ts'

/** A view, with its time in milliseconds since 1970. A view that is not in the log has no verdict. */
type CountedView = Play & { at: number; verdict?: Verdict }

type Change = {
  /** An assignment for each column of the state that changes. */
  set: readonly string[]
  /** If this condition does not hold, nothing changes. */
  where: string
  views: readonly CountedView[]
  /** Views that were counted earlier, and qualify now. */
  promoted?: readonly Play[]
  /** Common table expressions that the condition and the assignments refer to. */
  before?: readonly string[]
  /** Further common table expressions, which may refer to `moved`, the updated state. */
  after?: readonly string[]
}

/**
 * The columns that a count statement returns after the state's columns. `candidates` is the first of several columns,
 * one per ranking.
 */
export const COUNT_COLUMNS = {
  assetViews: AFTER_STATE,
  userViews: AFTER_STATE + 1,
  candidates: AFTER_STATE + 2,
  more: AFTER_STATE + 2 + RANKINGS.length,
}

/**
 * Returns one statement that updates the state and the counts if the condition holds. Every writer first updates the
 * only row of the state, so writers take turns and cannot deadlock.
 * @param columns further result columns
 */
export function toCountStatement(
  { set, where, views, promoted = [], before = [], after = [] }: Change,
  columns: readonly string[] = [],
): string {
  const qualified = views.filter(isQualified).length + promoted.length
  const hasViews = views.length + promoted.length > 0
  const changed = [...views, ...promoted]
  const increments = `version = version + 1, views = views + ${views.length}, qualified = qualified + ${qualified}`
  const assignments = hasViews ? [...set, increments] : set
  const rankings = RANKINGS.filter(({ of }) => of === 'views' || qualified > 0)
  const expressions = [
    ...before,
    `moved as (update reporting.state set ${assignments.join(', ')} where ${where} returning *)`,
    ...(hasViews ? [...toViewerWrites(views), ...toUpserts('asset', { views, promoted }, rankings)] : []),
    ...(hasViews ? [...toUpserts('user', { views, promoted }, rankings), ...toLive(views, changed)] : []),
    ...after,
  ]
  const counted = hasViews ? COUNTED : COUNTED.map(() => 'null')
  return `with ${expressions.join(',\n')} select ${[STATE_COLUMNS, ...counted, ...columns].join(', ')} from moved`
}

const COUNTED = [
  '(select max(views) from asset_counted)',
  '(select max(views) from user_counted)',
  ...RANKINGS.map(({ by, of }) => `(select ${candidatesColumn(of)} from ${by}_size)`),
]

function isQualified({ verdict }: CountedView): boolean {
  return verdict === 'qualified'
}

const SUM_OF_VIEWERS = `, known_viewers = current.known_viewers + excluded.known_viewers,
  viewers = greatest(current.viewers, current.known_viewers + excluded.known_viewers)`

/** Adds the views of assets or users. */
function toUpserts(by: CountedBy, added: Counted, all: readonly Ranking[]): string[] {
  const rankings = all.filter((ranking) => ranking.by === by)
  const counts = toCounts(by, added)
  const columns = (['views', 'qualified'] as const).map((of) => toNumberArray(counts.map((count) => count[of])))
  const [viewers, joined, sum] =
    by === 'asset' ? [', viewers, known_viewers', 'left join new_viewers using (id)', SUM_OF_VIEWERS] : ['', '', '']
  const sizes = rankings.map(({ of }) => candidatesColumn(of))
  return [
    `${by}_added as materialized (
      select * from unnest(${toIdArray(counts.map(({ id }) => id))}, ${columns.join(', ')})
        as counts(id, views_added, qualified_added))`,
    `${by}_counted as (
      insert into reporting.${by}_views as current (id, views, qualified${viewers})
      select id, views_added, qualified_added${viewers && ', coalesce(viewers, 0), coalesce(viewers, 0)'} from ${by}_added ${joined}
      where exists (select from moved)
      on conflict (id) do update set views = current.views + excluded.views,
        qualified = current.qualified + excluded.qualified${sum} returning id, views, qualified)`,
    `${by}_ranked as materialized (
      select id, views, views - views_added as views_before, qualified, qualified - qualified_added as qualified_before
      from ${by}_counted join ${by}_added using (id))`,
    ...rankings.map(toCandidates),
    `${by}_size as (
      insert into reporting.size as current (by, ids, ${sizes.join(', ')})
      select '${by}', (select count(*) from ${by}_ranked where views_before = 0),
        ${rankings.map(({ of }) => `(select count(*) from ${by}_${of}_candidate)`).join(', ')}
      where exists (select from moved)
      on conflict (by) do update
      set ids = current.ids + excluded.ids, ${sizes.map((size) => `${size} = current.${size} + excluded.${size}`).join(', ')}
      where excluded.ids + ${sizes.map((size) => `excluded.${size}`).join(' + ')} > 0
      returning candidates, qualified_candidates)`,
  ]
}

/**
 * Counts only rise, so an id becomes a candidate for a top list when it overtakes the last id that the previous cut
 * kept. Before the first cut, every id with a count is a candidate.
 */
function toCandidates({ by, of }: Ranking): string {
  const cut = cutColumns({ by, of })
  const isFirst = (number: string) => `(-${number}, id) < (-${cut.number}, ${cut.id})`
  return `${by}_${of}_candidate as (
    insert into reporting.top_candidate (by, of, id)
    select '${by}', '${of}', id from ${by}_ranked, (select ${cut.number}, ${cut.id} from moved limit 1) as cut
    where case when ${cut.number} is null then ${of}_before = 0 and ${of} > 0
      else ${isFirst(of)} and not ${isFirst(`${of}_before`)} end
    on conflict do nothing returning 1)`
}

/** Records what the live counts publish: the changed ids, unless there are too many, and the views per second. */
function toLive(views: readonly CountedView[], changed: readonly Play[]): string[] {
  const assets = new Set(changed.map(({ assetId }) => assetId))
  const users = new Set(changed.map(({ userId }) => userId))
  const areFew = assets.size + users.size <= MAX_LIVE_IDS
  const ids = areFew ? `${toIdArray([...assets])}, ${toIdArray([...users])}` : 'null, null'
  const change = `change as (
    insert into reporting.change (version, assets, users) select version, ${ids} from moved)`
  const recent = createRecentSeconds()
  recent.add(views)
  const seconds = [...recent.counts()]
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

type Counted = { views: readonly CountedView[]; promoted: readonly Play[] }

type Added = { views: number; qualified: number }

/** What to add to each id's counts, sorted by id so that adjacent index entries are updated together. */
function toCounts(by: CountedBy, { views, promoted }: Counted): (Added & { id: string })[] {
  const counts = new Map<string, Added>()

  function add({ assetId, userId }: Play, more: Added): void {
    const id = by === 'asset' ? assetId : userId
    const count = counts.get(id) ?? { views: 0, qualified: 0 }
    counts.set(id, { views: count.views + more.views, qualified: count.qualified + more.qualified })
  }

  for (const view of views) add(view, { views: 1, qualified: isQualified(view) ? 1 : 0 })
  for (const view of promoted) add(view, { views: 0, qualified: 1 })
  // Ids are ASCII, so JavaScript and the database sort them in the same order.
  return [...counts.keys()].sort().map((id) => ({ id, views: 0, qualified: 0, ...counts.get(id) }))
}
