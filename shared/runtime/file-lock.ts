import { isLocked, openSqlite } from './sqlite.ts'

/**
 * Holds a lock until it is disposed or the process ends, however it ends. It uses the lock of a SQLite file, because
 * Node has no file locks.
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
