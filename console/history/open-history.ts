import { rmSync } from 'node:fs'
import type { Logger } from '../../shared/runtime/log.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { isCorrupt } from '../../shared/runtime/sqlite.ts'
import { DamagedError, type HistoryStore, openHistoryStore } from './store.ts'

/**
 * Opens the history, in memory if the file cannot be used. A damaged file is replaced, because nothing depends on its
 * contents.
 */
export function openHistory(file: string, process: string, log: Logger): HistoryStore {
  try {
    return openOrReplace(file, process, log)
  } catch (error) {
    log.warn({ file, reason: toReason(error) }, 'cannot open the history; it will not outlive this process')
    return openHistoryStore(':memory:', process)
  }
}

function openOrReplace(file: string, process: string, log: Logger): HistoryStore {
  try {
    return openHistoryStore(file, process)
  } catch (error) {
    if (!isCorrupt(error) && !(error instanceof DamagedError)) throw error
    log.warn({ file }, 'the history is damaged; starting a new one')
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true })
    return openHistoryStore(file, process)
  }
}
