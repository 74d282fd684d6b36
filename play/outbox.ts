import type { DependencyState } from '../shared/contracts/readiness.ts'
import { type OutboxFile, openOutboxFile } from './outbox-file.ts'

/** Thrown if the outbox cannot be read or written. */
export class OutboxError extends Error {
  override name = 'OutboxError'
}

/** Keeps views on disk until they are in the log. Every operation throws OutboxError if the disk fails. */
export type Outbox = Omit<OutboxFile, 'search'> & { state: () => DependencyState }

/**
 * An outbox in a SQLite file, which the first operation opens. If opening it fails, each later operation tries again.
 * @param name the path of the file; with a custom `open`, only a description of the file for errors
 */
export function createOutbox(name: string, open = () => openOutboxFile(name)): Outbox {
  let database: OutboxFile | undefined

  function withDatabase<Result>(work: (database: OutboxFile) => Result): Result {
    try {
      database ??= open()
      return work(database)
    } catch (cause) {
      throw new OutboxError(`the outbox ${name} is unavailable`, { cause })
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
