import { openSqlite } from '../../shared/runtime/sqlite.ts'
import { StartError } from '../../shared/service/service.ts'

/** https://www.sqlite.org/rescode.html#busy; the upper bits are details. */
const SQLITE_BUSY = 5

/**
 * Holds a lock until it is disposed or the process ends, however it ends. The lock is that of a SQLite file, because
 * Node has no file locks.
 * @throws StartError if another process holds the lock
 * @throws Error if the file cannot be created
 */
export function acquireLock(file: string): Disposable {
  try {
    const database = openSqlite(file, '')
    return { [Symbol.dispose]: () => database.close() }
  } catch (error) {
    if (!isBusy(error)) throw error
    throw new StartError(`another process has locked ${file}: each reporting needs its own DATA_DIR`)
  }
}

function isBusy(error: unknown): boolean {
  if (!(error instanceof Error) || !('errcode' in error)) return false
  return typeof error.errcode === 'number' && (error.errcode & 0xff) === SQLITE_BUSY
}
