import { rmSync } from 'node:fs'
import type { Logger } from '../../shared/runtime/log.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { isCorrupt } from '../../shared/runtime/sqlite.ts'
import { DamagedError, type HistoryStore, openHistoryStore } from './store.ts'

/**
 * Opens the history, and falls back to memory if the file cannot be used. Replaces a damaged file, because nothing
 * depends on its contents.
 */
export function openHistory(file: string, process: string, log: Logger): HistoryStore {
  try {
    return openOrReplace(file, process, log)
  } catch (error) {
    log.warn({ file, reason: toReason(error) }, 'cannot open the history file; keeping the history in memory')
    return openHistoryStore(':memory:', process)
  }
}

function openOrReplace(file: string, process: string, log: Logger): HistoryStore {
  try {
    return openHistoryStore(file, process)
  } catch (error) {
    if (!isCorrupt(error) && !(error instanceof DamagedError)) throw error
    log.warn({ file }, 'the history file is damaged; replacing it')
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true })
    return openHistoryStore(file, process)
  }
}
