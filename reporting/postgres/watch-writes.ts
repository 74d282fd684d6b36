import type { WatchRule } from '../rules/view-rule.ts'
import { toStepAdditions } from '../step-additions.ts'
import { hasClosed, toWaitingChanges, toWatchGrowth, type Waiting } from '../watch/watch-changes.ts'
import { openSince } from '../watch/watch-time.ts'
import type { KnownState } from './known.ts'
import type { NumberedReport } from './known-watch.ts'
import { toIdArray, toLiteral, toNumberArray } from './literals.ts'
import type { Outcome } from './outcome.ts'
import { toSeriesWrites, WATCHED_CODES } from './series.ts'

/** Common table expressions that write a batch's watch-time changes. */
export function toWatchWrites(rule: WatchRule, known: KnownState, outcome: Outcome): string[] {
  const { verdicts, next, early } = outcome
  const growth = toWatchGrowth(verdicts)
  return [
    ...toTimeWrites(outcome),
    ...toWaitingWrites(rule, known, outcome),
    ...toEarlyWrites(early),
    ...toSeriesWrites(toStepAdditions(growth, next.clock), { name: 'watched_series', codes: WATCHED_CODES }),
  ]
}

/** Stores the longest watch time of each view for which the batch has reports. */
function toTimeWrites({ verdicts, next, placeOf }: Outcome): string[] {
  const batchRows = verdicts.views.flatMap(({ clock, sequence, watchedMs }, index) =>
    watchedMs === undefined ? [] : [{ clock, sequence, index, origin: next.origin.number, ms: watchedMs }],
  )
  const earlier = verdicts.grown.map(({ view }) => ({ ...placeOf(view), ms: view.watchedMs ?? 0 }))
  const rows = [...batchRows, ...earlier]
  if (rows.length === 0) return []
  const names = ['clock', 'sequence', 'index', 'origin', 'ms'] as const
  return [
    `watched_written as (
      insert into reporting.watched (${names})
      select * from unnest(${names.map((name) => toNumberArray(rows.map((row) => row[name])))}) as time(${names})
      where exists (select from moved)
      on conflict (clock, sequence, index, origin) do update set ms = excluded.ms)`,
  ]
}

/** Counts the waiting views by second. When a second's views close, adds them to the counts by reason. */
function toWaitingWrites(rule: WatchRule, known: KnownState, { verdicts, next }: Outcome): string[] {
  const changes = [...toWaitingChanges(verdicts)].filter(([, { unreported, reported }]) => unreported || reported)
  const { open = [], closed = [] } = Object.groupBy(changes, ([second]) =>
    hasClosed(second, next.clock) ? 'closed' : 'open',
  )
  return [...toOpenWrites(open), ...toClosedWrites(rule, closed, { known, clock: next.clock })]
}

type Changes = [second: number, change: Waiting][]

function toOpenWrites(changes: Changes): string[] {
  if (changes.length === 0) return []
  const columns = [
    toNumberArray(changes.map(([second]) => second)),
    toNumberArray(changes.map(([, { unreported }]) => unreported)),
    toNumberArray(changes.map(([, { reported }]) => reported)),
  ]
  return [
    `waiting_written as (
      insert into reporting.waiting as current (second, unreported, reported)
      select * from unnest(${columns}) as change(second, unreported, reported) where exists (select from moved)
      on conflict (second) do update set unreported = current.unreported + excluded.unreported,
        reported = current.reported + excluded.reported)`,
  ]
}

/**
 * Moves the views from closed seconds to the counts by reason. The batch's own changes in these seconds are added
 * directly, without being stored first.
 */
function toClosedWrites(
  rule: WatchRule,
  changes: Changes,
  { known, clock }: { known: KnownState; clock: number },
): string[] {
  if (openSince(clock) === openSince(known.clock) && changes.length === 0) return []
  const sumOf = (column: keyof Waiting) => {
    const changed = changes.reduce((sum, [, change]) => sum + change[column], 0)
    return `${changed} + coalesce((select sum(${column}) from waiting_closed), 0)`
  }
  return [
    `waiting_closed as (delete from reporting.waiting
      where second < ${openSince(clock)} and exists (select from moved) returning unreported, reported)`,
    `watch_reason_written as (
      insert into reporting.not_qualified as current (reason, views)
      select reason, views from (values (${toLiteral(rule.unreported)}, ${sumOf('unreported')}),
        (${toLiteral(rule.name)}, ${sumOf('reported')})) as closed(reason, views)
      where exists (select from moved) and views <> 0
      on conflict (reason) do update set views = current.views + excluded.views)`,
  ]
}

function toEarlyWrites(reports: readonly [key: string, report: NumberedReport][]): string[] {
  if (reports.length === 0) return []
  const columns = (['number', 'clock', 'ms'] as const).map((name) =>
    toNumberArray(reports.map(([, report]) => report[name])),
  )
  return [
    `early_written as (
      insert into reporting.early_report (key, number, clock, ms)
      select * from unnest(${[toIdArray(reports.map(([key]) => key)), ...columns]}) as report(key, number, clock, ms)
      where exists (select from moved)
      on conflict (key) do update set number = excluded.number, clock = excluded.clock, ms = excluded.ms)`,
  ]
}
