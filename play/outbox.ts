import { z } from 'zod'
import type { DependencyState } from '../shared/contracts/readiness.ts'
import { Predecessor } from '../shared/contracts/view.ts'
import type { NewView } from '../shared/event-log/event-log.ts'
import { openSqlite } from '../shared/runtime/sqlite.ts'

/** The outbox cannot be read or written. */
export class OutboxError extends Error {
  override name = 'OutboxError'
}

/** The oldest views in the outbox, in order, and the producer that must append them. */
export type PendingBatch = { through: number; producer: string; views: NewView[] }

/** Keeps views on disk until they are in the log. Every operation throws OutboxError if the disk fails. */
export type Outbox = Disposable & {
  state: () => DependencyState
  /** Returns once the views are on disk. */
  put(producer: string, views: readonly NewView[]): void
  /** The oldest views, all of one producer, up to the size of one append; undefined if the outbox is empty. */
  first(): PendingBatch | undefined
  /** Deletes the views up to and including `through`. */
  drop(through: number): void
  /** The number of views. */
  size(): number
  /** Saves the last acknowledged serial of the producer before the process stops. */
  setPredecessor(predecessor: Predecessor): void
  /** Returns the predecessor that the previous process saved. */
  predecessor(): Predecessor | undefined
}

const schema = `
  CREATE TABLE IF NOT EXISTS waiting (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    producer TEXT NOT NULL,
    views TEXT NOT NULL,
    count INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS predecessor (
    row INTEGER PRIMARY KEY CHECK (row = 1),
    producer TEXT NOT NULL,
    serial INTEGER NOT NULL
  ) STRICT;
`

const Entries = z.array(z.object({ sequence: z.int(), producer: z.string(), views: z.string(), count: z.int() }))

/** Limits of first(). */
const MAX_ENTRIES = 500
const MAX_VIEWS = 1_000

/** An outbox in a SQLite file. If the file cannot be opened, each operation retries. */
export function createOutbox(file: string): Outbox {
  let database: OutboxDatabase | undefined

  function withDatabase<Result>(work: (database: OutboxDatabase) => Result): Result {
    try {
      database ??= openDatabase(file)
      return work(database)
    } catch (cause) {
      throw new OutboxError(`the outbox ${file} is unavailable`, { cause })
    }
  }

  const size = () => withDatabase((database) => database.size())

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
    put: (producer, views) => withDatabase((database) => database.put(producer, views)),
    first: () => withDatabase((database) => database.first()),
    drop: (through) => withDatabase((database) => database.drop(through)),
    setPredecessor: (predecessor) => withDatabase((database) => database.setPredecessor(predecessor)),
    predecessor: () => withDatabase((database) => database.predecessor()),
    [Symbol.dispose]() {
      database?.[Symbol.dispose]()
    },
  }
}

type OutboxDatabase = Omit<Outbox, 'state'>

/** Prepares the statements. Reads the size once and then keeps count of it; a failed statement changes nothing. */
function openDatabase(file: string): OutboxDatabase {
  const db = openSqlite(file, schema)
  try {
    const insert = db.prepare('INSERT INTO waiting (producer, views, count) VALUES (?, ?, ?)')
    const selectFirst = db.prepare('SELECT * FROM waiting ORDER BY sequence LIMIT ?')
    const remove = db.prepare('DELETE FROM waiting WHERE sequence <= ? RETURNING count')
    const replacePredecessor = db.prepare('REPLACE INTO predecessor VALUES (1, ?, ?)')
    const selectPredecessor = db.prepare('SELECT producer, serial FROM predecessor')
    const probe = db.prepare('SELECT max(sequence) FROM waiting')
    let size = Number(db.prepare('SELECT coalesce(sum(count), 0) AS size FROM waiting').get()?.size)
    return {
      put(producer, views) {
        insert.run(producer, JSON.stringify(views), views.length)
        size += views.length
      },
      first: () => toBatch(Entries.parse(selectFirst.all(MAX_ENTRIES))),
      drop(through) {
        for (const { count } of remove.all(through)) size -= Number(count)
      },
      size() {
        // Fails if the file cannot be read.
        probe.get()
        return size
      },
      setPredecessor({ producer, serial }) {
        replacePredecessor.run(producer, serial)
      },
      predecessor: () => Predecessor.optional().parse(selectPredecessor.get()),
      [Symbol.dispose]: () => db.close(),
    }
  } catch (error) {
    db.close()
    throw error
  }
}

function toBatch(entries: z.infer<typeof Entries>): PendingBatch | undefined {
  const [first] = entries
  if (!first) return undefined
  const batch: PendingBatch = { through: 0, producer: first.producer, views: [] }
  for (const { sequence, producer, views, count } of entries) {
    if (producer !== first.producer || (batch.through > 0 && batch.views.length + count > MAX_VIEWS)) break
    batch.views.push(...JSON.parse(views))
    batch.through = sequence
  }
  return batch
}
