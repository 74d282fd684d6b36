import type { CountBatch, LogReport } from '../count-store.ts'
import { countSkipped } from '../engine.ts'
import type { WatchRule } from '../rules/view-rule.ts'
import { toStepAdditions } from '../step-additions.ts'
import { hasQualified, toTimedViews } from '../watch/watch-changes.ts'
import { toCountStatement } from './count-statement.ts'
import { toKeyedWrites } from './keyed-views.ts'
import { type KnownState, toProducerKey } from './known.ts'
import { toAscii, toIdArray, toLiteral, toNumberArray, toTextArray } from './literals.ts'
import { IS_CURRENT } from './migrate.ts'
import type { Outcome } from './outcome.ts'
import { toSeriesWrites } from './series.ts'
import { toVerdictWrites } from './verdict-writes.ts'
import { toWatchWrites } from './watch-writes.ts'

/** The statement that applies a batch, if the position and the last batch in the database still match `known`. */
export function toBatchStatement(
  batch: CountBatch,
  known: KnownState,
  outcome: Outcome,
  { id, maxProducers, watchRule }: { id: string; maxProducers: number; watchRule: WatchRule | undefined },
): string {
  const { verdicts, next, keyed, early } = outcome
  const forgotten = toForgotten(batch, outcome, next.producers - maxProducers)
  const isForgetting = forgotten.length > 0
  const rejected = verdicts.keysReused + countSkipped(batch.skipped)
  const set = [
    `batch = ${toLiteral(id)}`,
    `incarnation = ${toLiteral(toAscii(batch.incarnation))}`,
    `sequence = ${batch.through}`,
    `is_complete = ${next.isComplete}${isForgetting ? ' and not exists (select from forgotten)' : ''}`,
    `producers = ${next.producers}${isForgetting ? ` - ${FORGOTTEN_COUNT}` : ''}`,
    `clock = ${next.clock}`,
    `origin = ${next.origin.number}`,
    ...(verdicts.retried > 0 ? [`retried = retried + ${verdicts.retried}`] : []),
    ...(rejected > 0 ? [`rejected = rejected + ${rejected}`] : []),
    ...(keyed.length > 0 ? [`keyed = ${next.keyed}`] : []),
    ...(early.length > 0 ? [`early = ${next.watch.early}`, `early_clock = ${next.watch.earlyClock}`] : []),
    ...(outcome.ids.length > 0 ? [`generation = ${next.generation}`, `known_ids = ${next.knownIds}`] : []),
    ...(verdicts.gaps.length > 0 ? toLostAssignments(next) : []),
    ...toReportAssignments(batch),
  ]
  const { position } = known
  const where = position
    ? `incarnation = ${toLiteral(toAscii(position.incarnation))} and sequence = ${position.sequence}`
    : 'incarnation is null'
  const isLast = ` and batch is not distinct from ${toLiteral(known.batch)}`
  const after = [
    ...toWrites(outcome),
    ...toKeyedWrites(keyed),
    ...toVerdictWrites(batch, known, outcome),
    ...toSeriesWrites(toStepAdditions(toTimedViews(verdicts), next.clock)),
    ...(watchRule ? toWatchWrites(watchRule, known, outcome) : []),
    ...(isForgetting ? [DELETE_FORGOTTEN] : []),
  ]
  const promoted = verdicts.grown.filter(hasQualified).map(({ view }) => view)
  const change = {
    set,
    where: `${where + isLast} and ${IS_CURRENT}`,
    views: verdicts.views,
    promoted,
    before: forgotten,
    after,
  }
  return toCountStatement(change, [isForgetting ? FORGOTTEN_COUNT : '0'])
}

/** Assignments that store a report. */
export function toReportAssignments({ incarnation, end, oldest }: LogReport): string[] {
  return [
    'reports = reports + 1',
    `report_incarnation = ${toLiteral(toAscii(incarnation))}`,
    `log_end = ${toLiteral(end)}`,
    `oldest = ${toLiteral(oldest)}`,
    'reported_at = clock_timestamp()',
  ]
}

/** Assignments that store the number of lost views, and the gaps that they left. */
export function toLostAssignments({ lost }: Pick<KnownState, 'lost'>): string[] {
  const gaps = lost.gaps.map(({ producer, from, to }) => `{"producer":${toAscii(producer)},"from":${from},"to":${to}}`)
  return [`lost_views = ${lost.views}`, `gaps = ${toLiteral(`[${gaps.join(',')}]`)}`]
}

function toWrites({ changed, ids }: Outcome): string[] {
  const writes: string[] = []
  if (changed.length > 0) {
    const names = changed.map(([name]) => name)
    const columns = (['serial', 'sequence', 'reported'] as const).map((column) =>
      toNumberArray(changed.map(([, last]) => last[column])),
    )
    writes.push(`producer_written as (
      insert into reporting.producer (key, name, serial, sequence, reported)
      select * from unnest(${toIdArray(names.map(toProducerKey))}, ${toTextArray(names.map(toAscii))}, ${columns.join(', ')})
        as last(key, name, serial, sequence, reported) where exists (select from moved)
      on conflict (key) do update
      set serial = excluded.serial, sequence = excluded.sequence, reported = excluded.reported)`)
  }
  if (ids.length > 0) {
    const [keys, generations] = [ids.map(([key]) => key), ids.map(([, generation]) => generation)]
    writes.push(`id_written as (
      insert into reporting.known_id (key, generation)
      select * from unnest(${toIdArray(keys)}, ${toNumberArray(generations)}) as known(key, generation)
      where exists (select from moved)
      on conflict (key) do update set generation = excluded.generation)`)
  }
  return writes
}

/**
 * Forgets producers whose last message has expired. If more than the maximum remain, also forgets those that have been
 * silent longest. The deduplicator applies the same rules to the batch's producers.
 */
function toForgotten(batch: CountBatch, { forgotten, next }: Outcome, excess: number): string[] {
  const { first = 1 } = batch
  if (first <= 1 && excess <= 0 && forgotten.length === 0) return []
  const otherProducers = `key <> all(${toIdArray([...next.serials.keys()].map(toProducerKey))})`
  return [
    `forgotten as materialized (
      select key from reporting.producer where key = any(${toIdArray(forgotten.map(toProducerKey))})
      union select key from reporting.producer where sequence < ${first} and ${otherProducers}
      union (select key from reporting.producer where ${otherProducers}
        order by sequence limit ${Math.max(0, excess)}))`,
  ]
}

const FORGOTTEN_COUNT = '(select count(*) from forgotten)'
const DELETE_FORGOTTEN = `producer_deleted as (
  delete from reporting.producer where key in (select key from forgotten) and exists (select from moved))`
