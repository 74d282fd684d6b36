import { isLocked, openSqlite } from './sqlite.ts'

/**
 * Acquires a lock that is released when it is disposed or when the process ends, even after SIGKILL. Node has no file
 * locks, so this uses a SQLite file's lock.
 * @returns undefined if another process holds the lock
 * @throws Error if the file cannot be created
 */
export function acquireFileLock(file: string): Disposable | undefined {
  try {
    const database = openSqlite(file, '')
    return { [Symbol.dispose]: () => database.close() }
  } catch (error) {
    if (!isLocked(error)) throw error
    return undefined
  }
}
