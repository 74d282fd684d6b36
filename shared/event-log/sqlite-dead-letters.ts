import type { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'
import type { DeadLetter } from '../contracts/dead-letter.ts'
import type { Logger } from '../runtime/log.ts'
import { MAX_REASON, toLine } from '../runtime/printable.ts'
import { inTransaction } from '../runtime/sqlite.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import type { DeadLetters, Resolution, Resolved } from './event-log.ts'
import { encodeReplay, InvalidReplayError, type Replay, refuseInvalid, validateReplay } from './replay.ts'

export const deadLetterSchema = `
  CREATE TABLE IF NOT EXISTS dead_letters (
    sequence INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    rejected_at TEXT NOT NULL,
    resolution TEXT CHECK (resolution IN ('replayed', 'deleted')),
    resolved_at TEXT
  ) STRICT;
`

const Row = z.object({
  sequence: z.int(),
  reason: z.string(),
  rejected_at: z.string(),
  resolution: z.enum(['replayed', 'deleted']).nullable(),
  resolved_at: z.string().nullable(),
  data: z.string(),
  stored_at: z.string(),
})
type Row = z.infer<typeof Row>

const SELECT = 'SELECT letter.*, data, stored_at FROM dead_letters AS letter JOIN messages USING (sequence)'

type Deps = { db: DatabaseSync; log: Logger; append: (data: string) => number }

/** The log's dead letters in a SQLite file. `append` appends a message and returns its sequence. */
export function createSqliteDeadLetters({ db, log, append }: Deps) {
  const insert = db.prepare('INSERT OR IGNORE INTO dead_letters (sequence, reason, rejected_at) VALUES (?, ?, ?)')
  const update = db.prepare('UPDATE dead_letters SET resolution = ?, resolved_at = ? WHERE sequence = ?')
  const selectOne = db.prepare(`${SELECT} WHERE sequence = ?`)
  const selectPage = db.prepare(`${SELECT} WHERE resolution IS NULL AND sequence > ? ORDER BY sequence LIMIT ?`)
  const selectCount = db.prepare('SELECT count(*) AS count FROM dead_letters WHERE resolution IS NULL')

  const find = (sequence: number) => Row.optional().parse(selectOne.get(sequence))

  /** Resolves a dead letter in one transaction, so that the change is atomic even if the process is killed. */
  function resolve(sequence: number, action: Resolution['action'], replayOf?: (row: Row) => Replay): Resolved {
    const row = find(sequence)
    if (!row) return { outcome: 'not found' }
    const { resolution, resolved_at } = row
    if (resolution) return { outcome: 'already resolved', resolution: { action: resolution, at: resolved_at ?? '' } }
    const replay = replayOf?.(row)
    return inTransaction(db, () => {
      update.run(action, new Date().toISOString(), sequence)
      return { outcome: 'resolved', sequence: replay ? append(replay.data) : 0, views: replay?.views ?? 0 }
    })
  }

  const deadLetters: DeadLetters = {
    list: ({ after = 0, limit }) =>
      available(() => {
        const rows = z.array(Row).parse(selectPage.all(after, limit + 1))
        const page = rows.slice(0, limit)
        const next = rows.length > limit ? (page.at(-1)?.sequence ?? null) : null
        return { deadLetters: page.map(toDeadLetter), next }
      }),
    get: (sequence) =>
      available(() => {
        const row = find(sequence)
        if (!row || row.resolution) return undefined
        return { ...toDeadLetter(row), headers: {}, body: Buffer.from(row.data) }
      }),
    replay: (sequence, corrected) =>
      refuseInvalid(async () => {
        if (corrected) validateReplay(corrected, sequence, new Date().toISOString())
        return available(() =>
          resolve(sequence, 'replayed', ({ data, stored_at }) =>
            encodeReplay({ sequence, body: Buffer.from(data), storedAt: stored_at }, corrected),
          ),
        )
      }),
    delete: (sequence) => available(() => resolve(sequence, 'deleted')),
    count: () => available(() => Number(selectCount.get()?.count)),
  }

  return {
    deadLetters,
    add(sequence: number, text: string): void {
      const reason = toLine(text, MAX_REASON)
      const { changes } = insert.run(sequence, reason, new Date().toISOString())
      if (changes > 0) log.warn({ sequence, reason }, 'dead letter: not a valid batch of views')
    },
  }
}

function toDeadLetter({ sequence, reason, rejected_at, data }: Row): DeadLetter {
  return { sequence, reason, at: rejected_at, size: Buffer.byteLength(data) }
}

/** @throws InvalidReplayError from `work`; UnavailableError if the file cannot be read or written */
async function available<Result>(work: () => Result): Promise<Result> {
  try {
    return work()
  } catch (cause) {
    throw cause instanceof InvalidReplayError ? cause : new UnavailableError('the log is unavailable', { cause })
  }
}
