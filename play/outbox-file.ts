import { z } from 'zod'
import { Predecessor } from '../shared/contracts/view.ts'
import type { NewView } from '../shared/event-log/event-log.ts'
import { openSqlite } from '../shared/runtime/sqlite.ts'

/** The oldest views in the outbox, in order, and the producer that must append them. */
export type PendingBatch = { through: number; producer: string; views: NewView[] }

/** One page of a search: the view, or the sequence before which to continue. Neither is set if no entries remain. */
export type SearchPage = { view: NewView | undefined; rest: number | undefined }

/** Views and reports of watch time on disk that are not in the log yet. Every operation throws if the disk fails. */
export type OutboxFile = Disposable & {
  /** Returns once the views are on disk. */
  put(producer: string, views: readonly NewView[]): void
  /** The oldest views, all from one producer, up to the size of one append; undefined if the outbox is empty. */
  first(): PendingBatch | undefined
  /** Deletes the views up to and including `through`. */
  drop(through: number): void
  /** Looks for a view in a bounded number of entries: the newest ones, or those before a sequence. */
  search(id: string, before?: number): SearchPage
  /** The number of views, without reports of watch time. */
  size(): number
  /** Saves the current producer and its last acknowledged serial for the next process; undefined deletes them. */
  setPredecessor(predecessor: Predecessor | undefined): void
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

const Entry = z.object({ sequence: z.int(), producer: z.string(), views: z.string() })

const SearchedEntries = z.object({ first: z.int().nullable(), matching: z.int().nullable() })

/** Limits for first(). */
const MAX_ENTRIES = 500
const MAX_VIEWS = 1_000
/** Limit for search(). Reading this many entries takes a few milliseconds at most. */
const SEARCHED_ENTRIES = 100

/**
 * Opens or creates a file. No other process can open the file until this process closes it, exits or is killed. The
 * size is read once, and then tracked in memory; a failed statement does not change it.
 * @throws Error with SQLite's `errcode`
 */
export function openOutboxFile(file: string): OutboxFile {
  const db = openSqlite(file, schema)
  try {
    const insert = db.prepare('INSERT INTO waiting (producer, views, count) VALUES (?, ?, ?)')
    const selectFirst = db.prepare('SELECT sequence, producer, views FROM waiting ORDER BY sequence LIMIT ?')
    const remove = db.prepare('DELETE FROM waiting WHERE sequence <= ? RETURNING count')
    const replacePredecessor = db.prepare('REPLACE INTO predecessor VALUES (1, ?, ?)')
    const deletePredecessor = db.prepare('DELETE FROM predecessor')
    const selectPredecessor = db.prepare('SELECT producer, serial FROM predecessor')
    const selectBefore = db.prepare(
      'SELECT min(sequence) AS first, max(iif(instr(views, ?), sequence, NULL)) AS matching FROM (SELECT * FROM waiting WHERE sequence < ? ORDER BY sequence DESC LIMIT ?)',
    )
    const selectViews = db.prepare('SELECT views FROM waiting WHERE sequence = ?')
    const probe = db.prepare('SELECT max(sequence) FROM waiting')
    let size = Number(db.prepare('SELECT coalesce(sum(count), 0) AS size FROM waiting').get()?.size)
    return {
      put(producer, views) {
        const count = views.filter(({ watched }) => !watched).length
        insert.run(producer, encode(views, count), count)
        size += count
      },
      first: () => toBatch(selectFirst.iterate(MAX_ENTRIES)),
      drop(through) {
        for (const { count } of remove.all(through)) size -= Number(count)
      },
      search(id, before = Number.MAX_SAFE_INTEGER) {
        // This text matches only whole ids, because quotes inside JSON strings are escaped.
        const row = selectBefore.get(`"id":${JSON.stringify(id)}`, before, SEARCHED_ENTRIES)
        const { first, matching } = SearchedEntries.parse(row)
        if (matching === null) return { view: undefined, rest: first ?? undefined }
        const views = decode(String(selectViews.get(matching)?.views))
        return { view: views.find((view) => view.id === id && !view.watched), rest: matching }
      },
      size() {
        // Throws if the file cannot be read.
        probe.get()
        return size
      },
      setPredecessor(predecessor) {
        if (predecessor) replacePredecessor.run(predecessor.producer, predecessor.serial)
        else deletePredecessor.run()
      },
      predecessor: () => Predecessor.optional().parse(selectPredecessor.get()),
      [Symbol.dispose]: () => db.close(),
    }
  } catch (error) {
    db.close()
    throw error
  }
}

/** Encodes a batch with reports as an object, so that the previous release fails instead of appending them as views. */
function encode(events: readonly NewView[], views: number): string {
  return JSON.stringify(views === events.length ? events : { events })
}

function decode(text: string): NewView[] {
  const parsed: NewView[] | { events: NewView[] } = JSON.parse(text)
  return Array.isArray(parsed) ? parsed : parsed.events
}

/** Reads only as many entries as the batch takes, because an outage may leave more than fit in memory. */
function toBatch(entries: Iterable<unknown>): PendingBatch | undefined {
  let batch: PendingBatch | undefined
  for (const entry of entries) {
    const { sequence, producer, views } = Entry.parse(entry)
    batch ??= { through: 0, producer, views: [] }
    if (producer !== batch.producer) break
    const parsed = decode(views)
    if (batch.through > 0 && batch.views.length + parsed.length > MAX_VIEWS) break
    batch.views.push(...parsed)
    batch.through = sequence
  }
  return batch
}
