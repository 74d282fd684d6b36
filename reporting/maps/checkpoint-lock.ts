import { acquireFileLock } from '../../shared/runtime/file-lock.ts'
import { StartError } from '../../shared/service/service.ts'

/**
 * Locks a checkpoint until the lock is disposed or the process ends.
 * @throws StartError if another process holds the lock
 * @throws Error if the file cannot be created
 */
export function acquireLock(file: string): Disposable {
  const lock = acquireFileLock(file)
  if (!lock) throw new StartError(`another process has locked ${file}: each reporting needs its own DATA_DIR`)
  return lock
}
