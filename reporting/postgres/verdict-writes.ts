import { DEAD_LETTER } from '../../shared/contracts/view-explanation.ts'
import type { CountBatch } from '../count-store.ts'
import type { JudgedView } from '../engine.ts'
import { toEventKey } from './event-key.ts'
import type { KnownState } from './known.ts'
import { toAscii, toIdArray, toLiteral, toNumberArray, toTextArray, toUuidArray } from './literals.ts'
import type { Outcome } from './outcome.ts'
import { toDay } from './partitions.ts'

export const REJECTED = { state: 'r', reason: DEAD_LETTER } as const
export const STATES = { qualified: 'q', 'not-qualified': 'n', pending: 'p' } as const

/** Common table expressions that write the outcome of each event in a batch. */
export function toVerdictWrites(batch: CountBatch, known: KnownState, { verdicts, next }: Outcome): string[] {
  const { number, rules } = next.origin
  const isNew = number !== known.origin.number
  const origin = `${number}, ${toLiteral(toAscii(batch.incarnation))}, ${toLiteral(rules)}`
  return [
    ...(isNew ? [`origin_written as (insert into reporting.verdict_origin select ${origin} from moved)`] : []),
    ...toRowWrites([...verdicts.views.map(toRow), ...toRejected(batch, next.clock)], number),
    ...toDayWrites(isNew ? verdicts.views : verdicts.views.filter(({ clock }) => toDay(clock) > toDay(known.clock))),
    ...toReasonWrites(verdicts.views),
  ]
}

/** The days, by the log's clock, to which a batch's verdicts belong. */
export function daysOf(batch: CountBatch, { verdicts, next }: Outcome): number[] {
  const clocks = [...verdicts.views, ...toRejected(batch, next.clock)].map(({ clock }) => toDay(clock))
  return [...new Set(clocks)]
}

/** A verdict, as it is stored. */
export type Row = {
  at: number
  clock: number
  sequence: number
  index: number
  state: string
  key: string
  reason: string
  asset_id: string
  user_id: string
  event_id: string
  because: string
}

function toRow(view: JudgedView, index: number): Row {
  const { at, clock, sequence, because, requiredMs } = view
  const isFinal = requiredMs === undefined
  const { key, id } = toEventKey(view.id)
  return {
    at,
    clock,
    sequence,
    index,
    state: isFinal ? STATES[view.verdict] : STATES.pending,
    key,
    reason: (isFinal && view.reason) || '',
    asset_id: view.assetId,
    user_id: view.userId,
    event_id: id,
    because: isFinal ? toBecause(because) : String(requiredMs),
  }
}

export function toBecause(because: { id: string; at: number } | undefined): string {
  return because ? `[${toAscii(because.id)},${because.at}]` : ''
}

/**
 * Before the first view, the log's clock is unknown, so a dead letter's retention starts at the current time.
 */
function toRejected({ skipped = [] }: CountBatch, clock: number): Row[] {
  const fields = { ...REJECTED, at: 0, clock: clock || Date.now(), asset_id: '', user_id: '', because: '' }
  return skipped.flatMap(({ sequence, ids }) =>
    ids.map((eventId, index) => {
      const { key, id } = toEventKey(eventId)
      return { ...fields, sequence, index, key, event_id: id }
    }),
  )
}

const NUMBERS = ['at', 'clock', 'sequence', 'index'] as const
const IDS = ['state', 'reason', 'asset_id', 'user_id'] as const
const TEXTS = ['event_id', 'because'] as const

/** If all values of a column are equal, as those of `reason` mostly are, the column is written as a constant. */
function toColumns<Name extends keyof Row>(
  rows: readonly Row[],
  names: readonly Name[],
  toArray: (values: Row[Name][]) => string,
): [name: string, column: Column][] {
  return names.map((name) => {
    const values = rows.map((row) => row[name])
    const [first] = values
    return [
      name,
      values.every((value) => value === first) ? { constant: toLiteral(first) } : { array: toArray(values) },
    ]
  })
}

type Column = { constant: string; array?: undefined } | { array: string; constant?: undefined }

function toRowWrites(rows: readonly Row[], origin: number): string[] {
  if (rows.length === 0) return []
  return [`verdict_written as (${insertVerdicts(rows, origin)} where exists (select from moved))`]
}

/** Inserts verdicts. The statement has no condition, so that the caller can append one. */
export function insertVerdicts(rows: readonly Row[], origin: number): string {
  const columns: [name: string, column: Column][] = [
    ...toColumns(rows, NUMBERS, toNumberArray),
    ...toColumns(rows, IDS, toIdArray),
    ...toColumns(rows, TEXTS, toTextArray),
    ...toColumns(rows, ['key'], toUuidArray),
    ['origin', { constant: String(origin) }],
  ]
  const varying = columns.filter(([, { array }]) => array)
  const from = `from unnest(${varying.map(([, { array }]) => array).join(', ')}) as row(${varying.map(([name]) => name)})`
  return `insert into reporting.verdict (${columns.map(([name]) => name)})
    select ${columns.map(([name, { constant }]) => constant ?? name)} ${varying.length > 0 ? from : ''}`
}

/** Records when the log stored the first view of each day. */
function toDayWrites(views: readonly JudgedView[]): string[] {
  const firstClocks = new Map<number, number>()
  for (const { clock } of views) firstClocks.set(toDay(clock), firstClocks.get(toDay(clock)) ?? clock)
  if (firstClocks.size === 0) return []
  const columns = [[...firstClocks.keys()], [...firstClocks.values()]].map(toNumberArray)
  return [
    `day_written as (
      insert into reporting.verdict_day (day, since)
      select * from unnest(${columns.join(', ')}) as days(day, since)
      where exists (select from moved) on conflict do nothing)`,
  ]
}

/** Counts the views that are not qualified, by reason. */
function toReasonWrites(views: readonly JudgedView[]): string[] {
  const final = views.filter(({ verdict }) => verdict === 'not-qualified')
  const counts = [...Map.groupBy(final, ({ reason }) => reason)].flatMap(([reason, { length }]) =>
    reason === undefined ? [] : [{ reason, length }],
  )
  if (counts.length === 0) return []
  const reasons = toIdArray(counts.map(({ reason }) => reason))
  return [
    `reason_written as (
      insert into reporting.not_qualified as current (reason, views)
      select * from unnest(${reasons}, ${toNumberArray(counts.map(({ length }) => length))}) as counts(reason, views)
      where exists (select from moved)
      on conflict (reason) do update set views = current.views + excluded.views)`,
  ]
}
