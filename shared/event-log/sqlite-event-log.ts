import { randomInt, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { DatabaseSync } from 'node:sqlite'
import { setImmediate as turn } from 'node:timers/promises'
import { z } from 'zod'
import { sequenceIn } from '../contracts/position.ts'
import type { Logger } from '../runtime/log.ts'
import { toReason } from '../runtime/reason.ts'
import { openSqlite } from '../runtime/sqlite.ts'
import { createBatchBuilder } from './batch-builder.ts'
import { type EventLog, LogRolledBackError } from './event-log.ts'
import { assertReachesBack, type LogExtent } from './extent.ts'
import { createSearch, toSearchRange } from './search.ts'
import { skipped } from './skipped-views.ts'
import { createSqliteDeadLetters, deadLetterSchema } from './sqlite-dead-letters.ts'
import { type DecodedViews, decodeViews, encodeViews } from './view-events.ts'

/** Messages per query. A query for this many messages takes well under a millisecond. */
const READ_MESSAGES = 256

const schema = `
  CREATE TABLE IF NOT EXISTS messages (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    data TEXT NOT NULL,
    stored_at TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS incarnation (stream TEXT NOT NULL) STRICT;
  ${deadLetterSchema}
`

const Messages = z.array(
  z.object({
    sequence: z.int(),
    data: z.string(),
    stored_at: z.string(),
    letter: z.enum(['replayed', 'deleted', 'unresolved']).nullable(),
  }),
)
type Message = z.infer<typeof Messages>[number]

/** The log in a SQLite file, for a single process. Each append is flushed to disk before it resolves. */
export function createSqliteEventLog({ file, log }: { file: string; log: Logger }): EventLog {
  const db = openSqlite(file, schema)
  const incarnation = readIncarnation(db)
  const insert = db.prepare('INSERT INTO messages (data, stored_at) VALUES (?, ?)')
  const selectNext = db.prepare(`
    SELECT messages.sequence, data, stored_at,
      CASE WHEN letter.sequence IS NOT NULL THEN coalesce(resolution, 'unresolved') END AS letter
    FROM messages LEFT JOIN dead_letters AS letter USING (sequence)
    WHERE messages.sequence > ? ORDER BY messages.sequence LIMIT ?
  `)
  const selectLast = db.prepare(
    "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'messages'), 0) AS sequence",
  )
  const selectFirst = db.prepare('SELECT min(sequence) AS sequence FROM messages')
  const selectBacklog = db.prepare(
    'SELECT count(*) AS messages, min(stored_at) AS since FROM messages WHERE sequence > ?',
  )
  const appended = new EventTarget()
  const lastSequence = () => Number(selectLast.get()?.sequence)

  function extent(): LogExtent {
    const last = lastSequence()
    return { incarnation, first: Number(selectFirst.get()?.sequence ?? last + 1), last }
  }

  function append(data: string): number {
    const { lastInsertRowid } = insert.run(data, new Date().toISOString())
    appended.dispatchEvent(new Event('append'))
    return Number(lastInsertRowid)
  }

  const letters = createSqliteDeadLetters({ db, log, append })

  /** A dead letter is skipped even if this release considers it valid, because its replay may be in the log. */
  function decode({ sequence, data, stored_at, letter }: Message): DecodedViews {
    const bytes = Buffer.from(data)
    if (letter) return { ...skipped(bytes), isDeadLetter: letter === 'unresolved' }
    try {
      return decodeViews(bytes, stored_at)
    } catch (error) {
      letters.add(sequence, toReason(error))
      return { ...skipped(bytes), isDeadLetter: true }
    }
  }

  return {
    name: 'events',
    state: () => (db.isOpen ? 'up' : 'down'),
    producer: (source, id = randomUUID()) => ({
      id,
      async append(views) {
        append(encodeViews(views, `${source}/${id}`))
      },
    }),
    async *read(after, signal) {
      let read = sequenceIn(incarnation, after)
      const retained = extent()
      const { first, last } = retained
      if (read > last) throw new LogRolledBackError(`the log ends at ${last}, before the position ${read}`)
      assertReachesBack(after, retained)
      const leaving = after?.incarnation === incarnation ? undefined : after
      const batch = createBatchBuilder({ incarnation, after: read, first, leaving })
      while (!signal.aborted) {
        for (const message of Messages.parse(selectNext.all(read, READ_MESSAGES))) {
          const decoded = decode(message)
          if (!batch.hasRoom(message.data.length, decoded.views.length + (decoded.watched?.length ?? 0)))
            yield batch.take(lastSequence() - read)
          const { sequence, stored_at: storedAt } = message
          batch.add({ sequence, size: message.data.length, storedAt }, decoded)
          read = sequence
        }
        if (read < lastSequence()) continue
        if (!batch.isEmpty()) yield batch.take(0)
        else await once(appended, 'append', { signal }).catch(() => undefined)
      }
    },
    async find(id, after, { maxMessages, signal }) {
      const { from, through, isComplete } = toSearchRange(after, extent(), maxMessages)
      const search = createSearch(id, incarnation)
      for (let read = from - 1; read < through; read += READ_MESSAGES) {
        signal.throwIfAborted()
        for (const { sequence, data, stored_at: storedAt } of Messages.parse(selectNext.all(read, READ_MESSAGES))) {
          if (search.add({ sequence, data: Buffer.from(data), storedAt })) return search.result(isComplete)
        }
        // Let other work in the process run.
        await turn()
      }
      return search.result(isComplete)
    },
    async reject(sequence, reason) {
      letters.add(sequence, reason)
    },
    deadLetters: letters.deadLetters,
    async end() {
      return { incarnation, sequence: lastSequence() }
    },
    extent: async () => extent(),
    async backlog(after) {
      const row = selectBacklog.get(sequenceIn(incarnation, after))
      return { messages: Number(row?.messages), since: row?.since ? new Date(String(row.since)) : undefined }
    },
    async [Symbol.asyncDispose]() {
      db.close()
    },
  }
}

/** The incarnation is set once: to the file's creation time, with six random digits after the milliseconds. */
function readIncarnation(db: DatabaseSync): string {
  db.prepare('INSERT INTO incarnation SELECT ? WHERE NOT EXISTS (SELECT 1 FROM incarnation)').run(
    new Date().toISOString().replace('Z', `${String(randomInt(1_000_000)).padStart(6, '0')}Z`),
  )
  return String(db.prepare('SELECT stream FROM incarnation').get()?.stream)
}
