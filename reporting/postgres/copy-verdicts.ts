import { eventCodec } from '../../shared/records/event-codec.ts'
import type { RecordCodec } from '../../shared/records/recent-records.ts'
import { createRecordReader } from '../../shared/records/record-bytes.ts'
import { type FrozenPage, PAGE_RECORDS } from '../../shared/records/record-page.ts'
import type { FrozenState } from '../maps/frozen-state.ts'
import { ruleSets } from '../rules/rule-sets.ts'
import { type VerdictRecord, verdictCodec } from '../verdict-record.ts'
import type { Send } from './database.ts'
import { toEventKey } from './event-key.ts'
import { windowOf } from './judges.ts'
import type { KeyedView } from './keyed-views.ts'
import { toAscii, toLiteral } from './literals.ts'
import { createPartition, toDay } from './partitions.ts'
import { insertVerdicts, REJECTED, type Row, STATES, toBecause } from './verdict-writes.ts'

/** Numbers each keyed view by its position among all keyed views ever recorded, as the Postgres store does. */
export function* keyedViewsOf({ keys }: FrozenState): Generator<KeyedView> {
  for (const page of keys) {
    let number = page.page * PAGE_RECORDS
    for (const view of recordsOf(page, eventCodec)) yield { ...view, number: ++number }
  }
}

/** The checkpoint lacks verdicts that Postgres needs to restore what the rules remember. */
export class MissingVerdictsError extends Error {
  override name = 'MissingVerdictsError'
}

/**
 * Verifies that the verdicts include every view that the rules still remember.
 * @throws MissingVerdictsError
 */
export function assertJudgedKept({ judged, verdicts, rules }: FrozenState): void {
  const required = Math.max(0, ...judged.map(({ events }) => events.length))
  let kept = 0
  // The rules remember only the most recent views, so older pages do not matter.
  for (const page of verdicts.toReversed()) {
    if (kept >= required) return
    for (const { state } of recordsOf(page, verdictCodec)) if (state === 'counted') kept += 1
  }
  if (kept >= required) return
  const seconds = windowOf(ruleSets[rules]) / 1_000
  throw new MissingVerdictsError(
    `the checkpoint lacks verdicts that the view rules need (it has ${kept} of ${required}): set VERDICTS_KEPT to at least ${required}, run reporting until it has counted views for ${seconds} s, and copy again`,
  )
}

/**
 * Copies the verdicts, page by page.
 * @returns the origin of the log's current incarnation
 */
export async function copyVerdicts(send: Send, { verdicts, rules, position, clock }: FrozenState): Promise<number> {
  const origins = new Map<string, number>()
  const partitions = new Set<number>()
  const days = new Set<number>()
  const clockIfUnknown = clock || Date.now()
  let previous: VerdictRecord | undefined
  let index = 0

  async function originOf(incarnation: string): Promise<number> {
    const existing = origins.get(incarnation)
    if (existing !== undefined) return existing
    const origin = origins.size + 1
    origins.set(incarnation, origin)
    await send(`insert into reporting.verdict_origin
      values (${origin}, ${toLiteral(toAscii(incarnation))}, ${toLiteral(rules)})`)
    return origin
  }

  /** A row in the default partition would prevent its day's partition from being created later. */
  async function addPartition(day: number): Promise<void> {
    if (partitions.has(day)) return
    partitions.add(day)
    await send(createPartition(day))
  }

  async function addDay(day: number, { state, clock }: VerdictRecord): Promise<void> {
    if (state === 'rejected' || days.has(day)) return
    days.add(day)
    await send(`insert into reporting.verdict_day values (${day}, ${clock})`)
  }

  for (const page of verdicts) {
    const rows = new Map<number, Row[]>()
    for (const record of recordsOf(page, verdictCodec)) {
      index = isSameMessage(previous, record) ? index + 1 : 0
      previous = record
      const row = toRow(record, index, clockIfUnknown)
      await addPartition(toDay(row.clock))
      await addDay(toDay(row.clock), record)
      const origin = await originOf(record.incarnation)
      rows.getOrInsertComputed(origin, () => []).push(row)
    }
    for (const [origin, originRows] of rows) await send(insertVerdicts(originRows, origin))
  }
  return position ? originOf(position.incarnation) : 0
}

function* recordsOf<Item>({ bytes, starts, names }: FrozenPage, codec: RecordCodec<Item>): Generator<Item> {
  for (const start of starts) {
    const reader = createRecordReader(bytes, start)
    yield codec.read(reader, reader.id(), names)
  }
}

function isSameMessage(previous: VerdictRecord | undefined, { incarnation, sequence }: VerdictRecord): boolean {
  return previous?.incarnation === incarnation && previous.sequence === sequence
}

/** @param clockIfUnknown the clock for dead letters before the first view, which have no clock of their own */
function toRow(record: VerdictRecord, index: number, clockIfUnknown: number): Row {
  const { sequence, clock } = record
  const { key, id } = toEventKey(record.id)
  const fields = { sequence, index, key, event_id: id, clock: clock || clockIfUnknown }
  if (record.state === 'rejected') return { ...fields, ...REJECTED, at: 0, asset_id: '', user_id: '', because: '' }
  const { at, assetId, userId, reason, because } = record
  const state = STATES[reason === undefined ? 'qualified' : 'not-qualified']
  const play = { at, asset_id: assetId, user_id: userId }
  return { ...fields, ...play, state, reason: reason ?? '', because: toBecause(because) }
}
