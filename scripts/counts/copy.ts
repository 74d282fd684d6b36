import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CHECKPOINT, readCheckpoint } from '../../reporting/maps/checkpoint-file.ts'
import { acquireLock } from '../../reporting/maps/checkpoint-lock.ts'
import type { CountState } from '../../reporting/maps/count-state.ts'
import type { Kept } from '../../reporting/maps/kept.ts'
import { copyCounts } from '../../reporting/postgres/copy.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { StartError } from '../../shared/service/service.ts'
import { plural } from '../plural.ts'
import { CountsError } from './system.ts'

const PROGRESS_INTERVAL_MS = 2_000

/** Where the counts are stored, and how many keys, verdicts and series are kept. */
export type Databases = {
  dataDir: string
  urls: readonly Secret[] | undefined
  kept: Kept
  verdictsMaxAgeMs: number
}

/**
 * Copies the checkpoint of a stopped reporting instance into an empty database.
 * @throws CountsError
 */
export async function copyCheckpoint({ dataDir, urls, kept }: Databases): Promise<number> {
  if (!urls) throw new CountsError('DATABASE_URL is not set: set it to the database that receives the counts')
  const path = join(dataDir, CHECKPOINT)
  const file = `${path}.bin`
  // Check this before locking, because the lock would create the directory.
  if (!existsSync(file)) throw new CountsError(`there is no ${file}: set DATA_DIR to that of reporting`)
  // Hold the lock until the copy is done, so that no instance of reporting continues from this checkpoint.
  using _ = lock(`${path}.lock`)
  const state = await read(file, kept)
  const { counts, position } = state
  const where = position ? `up to sequence ${position.sequence} of ${position.incarnation}` : 'none of them from a log'
  print(`${file}: ${plural(state.views, 'view')} of ${plural(counts.user.size(), 'user')}, ${where}`)
  const isCopied = await copyCounts(state, { urls, onProgress: createProgress() }).catch((error) => {
    throw new CountsError(`nothing was copied: ${toReason(error)}`)
  })
  print(isCopied ? 'Copied.' : 'The database already has these counts. Nothing was changed.')
  print(`Start every instance of reporting with this DATABASE_URL. ${file} is no longer used:`)
  print('keep it as long as you may want to go back, then delete it (docs/operating.md, "From memory to Postgres").')
  return 0
}

function lock(file: string): Disposable {
  try {
    return acquireLock(file)
  } catch (error) {
    if (!(error instanceof StartError)) throw new CountsError(`cannot lock ${file}: ${toReason(error)}`)
    throw new CountsError(`${file} is locked: first stop the instance of reporting that uses this DATA_DIR`)
  }
}

async function read(file: string, kept: Kept): Promise<CountState> {
  const state = await readCheckpoint(file, new AbortController().signal, { kept }).catch((error) => {
    throw new CountsError(`cannot read ${file}: ${toReason(error)}`)
  })
  if (!state) throw new CountsError(`${file} was deleted`)
  return state
}

/** Prints the progress of the copy at regular intervals. */
function createProgress(): (copied: number, total: number) => void {
  let printedAt = performance.now()
  return (copied, total) => {
    if (performance.now() - printedAt < PROGRESS_INTERVAL_MS) return
    printedAt = performance.now()
    print(`${copied.toLocaleString('en')} of ${plural(total, 'row')}`)
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
