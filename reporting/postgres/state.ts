import { z } from 'zod'
import type { LogPosition } from '../../shared/contracts/position.ts'
import type { LogReport } from '../count-store.ts'
import { fromAscii } from './literals.ts'

/** The part of the state that every instance polls, and that each batch's statement returns. */
export type State = {
  /** Increases with each change to the counts. */
  version: number
  position: LogPosition | undefined
  /** The number of reports so far. */
  reports: number
  /** The last report about the log, and its age by the database's clock. */
  report: LogReport | undefined
  reportAgeMs: number
}

const columns = [
  'version',
  'incarnation',
  'sequence',
  'reports',
  'report_incarnation',
  'log_end',
  'oldest',
  'extract(epoch from clock_timestamp() - reported_at) * 1000',
]

/** The columns of `reporting.state` that toState() parses, in this order. */
export const STATE_COLUMNS = columns.join(', ')
/** The index of the first column after STATE_COLUMNS. */
export const AFTER_STATE = columns.length

const bigint = z.coerce.number()
const Row = z.tuple([
  bigint,
  z.string().nullable(),
  bigint.nullable(),
  bigint,
  z.string().nullable(),
  bigint.nullable(),
  z.string().nullable(),
  z.coerce.number().nullable(),
])

/** Parses the columns in STATE_COLUMNS. */
export function toState(row: readonly unknown[]): State {
  const [version, incarnation, sequence, reports, reportIncarnation, end, oldest, ageMs] = Row.parse(
    row.slice(0, AFTER_STATE),
  )
  return {
    version,
    position: parsePosition(incarnation, sequence),
    reports,
    report: reportIncarnation === null ? undefined : toReport(reportIncarnation, end, oldest),
    reportAgeMs: Math.max(0, ageMs ?? 0),
  }
}

function toReport(incarnation: string, end: number | null, oldest: string | null): LogReport {
  return { incarnation: fromAscii(incarnation), end: end ?? undefined, oldest: oldest ?? undefined }
}

export function parsePosition(incarnation: string | null, sequence: number | null): LogPosition | undefined {
  return incarnation === null || sequence === null ? undefined : { incarnation: fromAscii(incarnation), sequence }
}
