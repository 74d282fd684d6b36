import { type Database, ReadOnlyError, type Rows } from './database.ts'

const LOOK_TIMEOUT_MS = 300

/** The name of the current WAL file begins with the timeline in 8 hexadecimal digits; null on a standby. */
const WAL_FILE = 'case when not pg_is_in_recovery() then pg_walfile_name(pg_current_wal_lsn()) end'

/** The server is a former primary: another server has been promoted since. */
export class FormerPrimaryError extends Error {
  override name = 'FormerPrimaryError'
  constructor(timeline: number, newest: number) {
    super(
      `the server is on timeline ${timeline}, but another host was promoted to timeline ${newest}: stop the former primary. After a restore from a backup, restart reporting`,
    )
  }
}

/** The columns that assertPrimary() reads from the end of a row. With one host, there are no timelines to compare. */
export function toFenceColumns(hosts: number): string {
  return `current_setting('transaction_read_only'), ${hosts > 1 ? WAL_FILE : 'null'}`
}

/**
 * Rejects a former primary that still accepts writes. Its timeline is older, because each promotion starts a new
 * timeline with a higher number.
 */
export function createFence(database: Pick<Database, 'hosts' | 'runOnOthers'>) {
  let newest = 0

  return {
    /** Reads the timelines of the other hosts that respond in time. */
    async look(): Promise<void> {
      if (database.hosts === 1) return
      const others = await database.runOnOthers(`select ${WAL_FILE}`, LOOK_TIMEOUT_MS)
      newest = Math.max(newest, ...others.map(([row]) => toTimeline(row?.[0])))
    },
    /** @throws ReadOnlyError, FormerPrimaryError */
    assertPrimary([row]: Rows): void {
      const [readOnly, walFile] = row?.slice(-2) ?? []
      if (readOnly !== 'off') throw new ReadOnlyError()
      const timeline = toTimeline(walFile)
      if (timeline < newest) throw new FormerPrimaryError(timeline, newest)
      newest = timeline
    },
  }
}

function toTimeline(walFile: unknown): number {
  return typeof walFile === 'string' ? Number.parseInt(walFile.slice(0, 8), 16) : 0
}
