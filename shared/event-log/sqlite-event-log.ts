import { randomInt, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { DatabaseSync } from 'node:sqlite'
import type { Logger } from '../runtime/log.ts'
import { openSqlite } from '../runtime/sqlite.ts'
import { createBatchBuilder } from './batch-builder.ts'
import { type EventLog, LogRolledBackError } from './event-log.ts'
import { type DecodedViews, decodeViews, encodeViews } from './view-events.ts'

/** How many messages are read at a time: one query stays well below a millisecond. */
const READ_MESSAGES = 256

const schema = `
  CREATE TABLE IF NOT EXISTS messages (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    data TEXT NOT NULL,
    stored_at TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS incarnation (stream TEXT NOT NULL) STRICT;
`

type Message = { sequence: number; data: string; stored_at: string }

/**
 * The log as a SQLite file, for the writer and the readers of one process. Every append is on disk before it resolves
 * (`synchronous=FULL`).
 */
export function createSqliteEventLog({ file, log }: { file: string; log: Logger }): EventLog {
  const db = openSqlite(file, schema)
  const stream = incarnation(db)
  const insert = db.prepare('INSERT INTO messages (data, stored_at) VALUES (?, ?)')
  const next = db.prepare('SELECT sequence, data, stored_at FROM messages WHERE sequence > ? ORDER BY sequence LIMIT ?')
  const last = db.prepare("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'messages'), 0) AS sequence")
  const behind = db.prepare('SELECT count(*) AS messages, min(stored_at) AS since FROM messages WHERE sequence > ?')
  const grown = new EventTarget()

  const lastSequence = () => Number(last.get()?.sequence)

  function viewsOf({ sequence, data, stored_at }: Message): DecodedViews | undefined {
    try {
      return decodeViews(data, stored_at)
    } catch (error) {
      log.warn({ sequence, reason: (error as Error).message }, 'message rejected: no valid batch of views')
      return undefined
    }
  }

  return {
    state: () => (db.isOpen ? 'up' : 'down'),

    producer: (id = randomUUID()) => ({
      id,
      async append(views) {
        insert.run(encodeViews(views, `/play/${id}`), new Date().toISOString())
        grown.dispatchEvent(new Event('grown'))
      },
    }),

    async *read(after, signal) {
      const from = after?.stream === stream ? after : { stream, sequence: 0 }
      const end = lastSequence()
      if (from.sequence > end)
        throw new LogRolledBackError(`the log ends at ${end}, before the position ${from.sequence}`)
      const batch = createBatchBuilder(from)
      let read = from.sequence
      while (!signal.aborted) {
        const messages = next.all(read, READ_MESSAGES) as Message[]
        for (const message of messages) {
          const found = viewsOf(message)
          if (!batch.hasRoom(message.data.length, found?.views.length ?? 0)) yield batch.take(lastSequence() - read)
          batch.add(message.sequence, message.data.length, found)
          read = message.sequence
        }
        if (read < lastSequence()) continue
        if (!batch.isEmpty()) yield batch.take(0)
        else await once(grown, 'grown', { signal }).catch(() => undefined)
      }
    },

    async end() {
      return { stream, sequence: lastSequence() }
    },

    async backlog(after) {
      const { messages, since } = behind.get(after?.stream === stream ? after.sequence : 0) ?? {}
      return { messages: Number(messages), since: since ? new Date(String(since)) : undefined }
    },

    async [Symbol.asyncDispose]() {
      db.close()
    },
  }
}

/** Made once with the file: its time of creation, in nanoseconds of which the last digits are chance. */
function incarnation(db: DatabaseSync): string {
  db.prepare('INSERT INTO incarnation SELECT ? WHERE NOT EXISTS (SELECT 1 FROM incarnation)').run(
    new Date().toISOString().replace('Z', `${String(randomInt(1_000_000)).padStart(6, '0')}Z`),
  )
  return String(db.prepare('SELECT stream FROM incarnation').get()?.stream)
}
