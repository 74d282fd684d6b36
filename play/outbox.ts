import type { DatabaseSync } from 'node:sqlite'
import type { NewView } from '../shared/event-log/event-log.ts'
import type { DependencyState } from '../shared/runtime/health.ts'
import { openSqlite } from '../shared/runtime/sqlite.ts'

/** The outbox' disk does not take or give what it should. */
export class OutboxError extends Error {
  override name = 'OutboxError'
}

/** Views that wait for the log, in the order in which they came, under the id of the producer that is to append them. */
export type Waiting = { through: number; producer: string; views: NewView[] }

/**
 * Keeps views on disk until the log has them. Everything throws OutboxError where the disk fails.
 */
export type Outbox = Disposable & {
  state: () => DependencyState
  /** On disk when it returns. */
  put(producer: string, views: readonly NewView[]): void
  /** The first that wait, of one producer, as many as make a good append. */
  first(): Waiting | undefined
  /** Forgets what waits up to and with an entry. */
  drop(through: number): void
  /** How many views wait. */
  size(): number
}

const schema = `
  CREATE TABLE IF NOT EXISTS waiting (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    producer TEXT NOT NULL,
    views TEXT NOT NULL,
    count INTEGER NOT NULL
  ) STRICT;
`

type Entry = { sequence: number; producer: string; views: string; count: number }

/** What first() gives at the most. */
const MAX_ENTRIES = 500
const MAX_VIEWS = 1_000

/** An outbox in a SQLite file. A file that cannot be opened is tried again whenever it is needed. */
export function createOutbox(file: string): Outbox {
  let db: DatabaseSync | undefined

  function use<Result>(work: (db: DatabaseSync) => Result): Result {
    try {
      db ??= openSqlite(file, schema)
      return work(db)
    } catch (cause) {
      throw new OutboxError(`the outbox ${file} fails`, { cause })
    }
  }

  function size(): number {
    return use((db) => Number(db.prepare('SELECT coalesce(sum(count), 0) AS size FROM waiting').get()?.size))
  }

  return {
    size,
    state() {
      try {
        size()
        return 'up'
      } catch {
        return 'down'
      }
    },
    put(producer, views) {
      use((db) =>
        db
          .prepare('INSERT INTO waiting (producer, views, count) VALUES (?, ?, ?)')
          .run(producer, JSON.stringify(views), views.length),
      )
    },
    first() {
      const rows = use((db) =>
        db.prepare('SELECT * FROM waiting ORDER BY sequence LIMIT ?').all(MAX_ENTRIES),
      ) as Entry[]
      const [first] = rows
      if (!first) return undefined
      const waiting: Waiting = { through: 0, producer: first.producer, views: [] }
      for (const { sequence, producer, views, count } of rows) {
        if (producer !== first.producer || (waiting.through > 0 && waiting.views.length + count > MAX_VIEWS)) break
        waiting.views.push(...JSON.parse(views))
        waiting.through = sequence
      }
      return waiting
    },
    drop(through) {
      use((db) => db.prepare('DELETE FROM waiting WHERE sequence <= ?').run(through))
    },
    [Symbol.dispose]() {
      db?.close()
    },
  }
}
