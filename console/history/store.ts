import type { DatabaseSync } from 'node:sqlite'
import { inTransaction, openSharedSqlite } from '../../shared/runtime/sqlite.ts'
import {
  type CallCounts,
  Outages,
  PointRows,
  Restarts,
  SELECT_POINTS,
  Started,
  schema,
  Time,
  TrafficRows,
  UPSERT,
} from './schema.ts'

/** Seconds per step, and how many steps are kept. One-second steps are kept for longer than the console shows them. */
const STEPS = [
  { step: 1, kept: 600 },
  { step: 15, kept: 300 },
  { step: 300, kept: 300 },
] as const
const LONGEST_STEP = 300
export type Step = (typeof STEPS)[number]['step']

/** Limits the size of the file while a service flaps. */
const MAX_OUTAGES = 1_000
const MAX_RESTARTS = 1_000
/** Outages, restarts and instances are kept for as long as the longest steps. */
const KEPT_MS = 90_000_000

/** If an outage is not extended for this long, it is over, or the process that detected it has exited. */
const OPEN_MS = 3_000

/** One process's values in the second that starts at `at` (milliseconds since 1970). */
export type Sample = {
  at: number
  plays: number
  errors: number
  p99Ms: number | null
  backlog: number | null
  lagMs: number | null
  traffic: CallCounts
}

/** A component, or one instance of a service. */
export type Subject = { service: string; instance: string }
export type Failure = Subject & { state: 'down' | 'degraded'; reason: string }
type StoredOutage = Failure & { start: number; end: number; isOpen: boolean }

/** The history on disk. All times are in milliseconds since 1970. Every operation throws if the disk fails. */
export type HistoryStore = ReturnType<typeof openHistoryStore>

/**
 * Opens the history, which the processes of one edge share. Each process writes its own rows; queries aggregate the
 * rows from all processes. All times come from the edge's clock.
 * @param process identifies this process's rows
 * @throws DamagedError
 * @throws Error if the file cannot be opened
 */
export function openHistoryStore(file: string, process: string) {
  const db = openSharedSqlite(file, schema)
  assertIntact(db)
  const upsert = db.prepare(UPSERT)
  const selectPoints = db.prepare(SELECT_POINTS)
  const selectTraffic = db.prepare('SELECT at, process, traffic FROM samples WHERE step = 1 AND at >= ? AND at <= ?')
  const selectLast = db.prepare('SELECT max(at) AS at FROM samples WHERE step = 1 AND at <= ?')
  const selectFirst = db.prepare('SELECT min(at) AS at FROM samples WHERE step = ?')
  const countEnded = db.prepare(
    'SELECT count(*) AS n FROM (SELECT 1 FROM samples WHERE process != ? GROUP BY process HAVING max(iif(step = 1, at, 0)) < ?)',
  )
  const deleteSamples = db.prepare('DELETE FROM samples WHERE step = ? AND (at < ? OR at > ?)')
  const extend = db.prepare(
    'UPDATE outages SET end = ?, open = 1, reason = ? WHERE service = ? AND instance = ? AND state = ? AND end >= ? AND end <= ?',
  )
  const insertOutage = db.prepare(
    'INSERT INTO outages VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET end = max(end, excluded.end), open = excluded.open',
  )
  const close = db.prepare(
    'UPDATE outages SET end = ?, open = 0 WHERE service = ? AND instance = ? AND state = ? AND open = 1 AND end >= ?',
  )
  const selectOutages = db.prepare(
    'SELECT service, instance, state, reason, start, end, open AS isOpen FROM outages WHERE end >= ? AND start <= ? ORDER BY start',
  )
  const deleteOutages = db.prepare(
    'DELETE FROM outages WHERE end < ? OR start > ? OR start < (SELECT start FROM outages ORDER BY start DESC LIMIT 1 OFFSET ?)',
  )
  const insertRestart = db.prepare('INSERT OR IGNORE INTO restarts VALUES (?, ?, ?)')
  const removeRestarts = db.prepare('DELETE FROM restarts WHERE service = ? AND instance = ? AND at > ?')
  const selectRestarts = db.prepare('SELECT * FROM restarts WHERE at BETWEEN ? AND ? ORDER BY at')
  const deleteRestarts = db.prepare(
    'DELETE FROM restarts WHERE at < ? OR at > ? OR at < (SELECT at FROM restarts ORDER BY at DESC LIMIT 1 OFFSET ?)',
  )
  const selectInstance = db.prepare('SELECT startedAt, seenAt FROM instances WHERE service = ? AND instance = ?')
  const replaceInstance = db.prepare('REPLACE INTO instances VALUES (?, ?, ?, ?)')
  const deleteInstances = db.prepare('DELETE FROM instances WHERE seenAt < ?')

  return {
    /** Runs operations in one transaction. */
    atomically: (work: () => void) => inTransaction(db, work),
    add({ at, plays, errors, p99Ms, backlog, lagMs, traffic }: Sample): void {
      for (const { step } of STEPS) {
        const stored = step === 1 ? JSON.stringify(traffic) : '{}'
        upsert.run(step, startOf(at, step), process, plays, errors, p99Ms, backlog, lagMs, stored)
      }
    },
    /** The steps in an interval, aggregated over all processes. */
    points: (step: Step, from: number, to: number) => PointRows.parse(selectPoints.all(step, from, to)),
    /** The traffic in an interval, by process and second. */
    traffic: (from: number, to: number) => TrafficRows.parse(selectTraffic.all(from, to)),
    /** The start of the last second up to `before` that has a sample from any process. */
    last: (before: number) => Time.parse(selectLast.get(before)).at ?? undefined,
    /** The start of the history. */
    first(): number | undefined {
      const [second, longest] = [1, LONGEST_STEP].map((step) => Time.parse(selectFirst.get(step)).at ?? undefined)
      if (second === undefined || longest === undefined) return longest ?? second
      return second - longest < LONGEST_STEP * 1_000 ? second : longest
    },
    /** The number of other processes whose last sample is before `since`. */
    ended: (since: number) => Number(countEnded.get(process, since)?.n),
    /** Adds the outage for a failure that was first observed at `start`, or extends the outage if it exists. */
    fail({ service, instance, state, reason }: Failure, start: number, now: number): void {
      const { changes } = extend.run(now, reason, service, instance, state, start - OPEN_MS, now + OPEN_MS)
      if (Number(changes) === 0) insertOutage.run(service, instance, state, start, now, 1, reason)
    },
    /** Adds an outage that has ended. */
    addOutage({ service, instance, state, reason }: Failure, start: number, end: number): void {
      insertOutage.run(service, instance, state, start, end, 0, reason)
    },
    /** Ends the outage of a component that has recovered. */
    recover({ service, instance, state }: Omit<Failure, 'reason'>, now: number): void {
      close.run(now, service, instance, state, now - OPEN_MS)
    },
    outages(from: number, to: number): StoredOutage[] {
      const stored = Outages.parse(selectOutages.all(from, to))
      return stored.map((outage) => ({ ...outage, isOpen: outage.isOpen && outage.end >= to - OPEN_MS }))
    },
    addRestart: ({ service, instance }: Subject, at: number) => void insertRestart.run(service, instance, at),
    /** Deletes the restarts later than `after`, because the process that seemed to be replaced is still running. */
    removeRestarts: ({ service, instance }: Subject, after: number) =>
      void removeRestarts.run(service, instance, after),
    restarts: (from: number, to: number) => Restarts.parse(selectRestarts.all(from, to)),
    /** The start time that an instance reported, and when it was last seen. */
    instance: ({ service, instance }: Subject) => Started.optional().parse(selectInstance.get(service, instance)),
    setInstance({ service, instance }: Subject, startedAt: string, now: number): void {
      replaceInstance.run(service, instance, startedAt, now)
    },
    /** Deletes old rows, and rows that are in the future because the clock was set back. */
    prune(now: number): void {
      for (const { step, kept } of STEPS) deleteSamples.run(step, now - kept * step * 1_000, now)
      deleteOutages.run(now - KEPT_MS, now, MAX_OUTAGES)
      deleteRestarts.run(now - KEPT_MS, now, MAX_RESTARTS)
      deleteInstances.run(now - KEPT_MS)
    },
    [Symbol.dispose]: () => db.close(),
  }
}

/** Thrown if the file is a database with damaged pages. */
export class DamagedError extends Error {
  override name = 'DamagedError'
}

/** Checks all pages, because opening a file reads only a few of them. */
function assertIntact(db: DatabaseSync): void {
  const check = db.prepare('PRAGMA quick_check(1)').get()
  if (check?.quick_check === 'ok') return
  db.close()
  throw new DamagedError(String(check?.quick_check))
}

/** The start of the step that contains a time. */
export function startOf(at: number, step: Step): number {
  return at - (at % (step * 1_000))
}
