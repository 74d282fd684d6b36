import { isLocked, openSqlite } from '../../shared/runtime/sqlite.ts'
import { StartError } from '../../shared/service/service.ts'

/**
 * Holds a lock until it is disposed or the process ends, however it ends. It uses the lock of a SQLite file, because
 * Node has no file locks.
 * @throws StartError if another process holds the lock
 * @throws Error if the file cannot be created
 */
export function acquireLock(file: string): Disposable {
  try {
    const database = openSqlite(file, '')
    return { [Symbol.dispose]: () => database.close() }
  } catch (error) {
    if (!isLocked(error)) throw error
    throw new StartError(`another process has locked ${file}: each reporting needs its own DATA_DIR`)
  }
}
