import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { codeOf } from '../../shared/runtime/error-code.ts'
import type { Logger } from '../../shared/runtime/log.ts'
import { PRIVATE_FILE } from '../../shared/runtime/private-files.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { createYielder } from '../../shared/runtime/yielder.ts'
import { StartError } from '../../shared/service/service.ts'
import { DEFAULT_RULES, type RulesVersion } from '../rules/rule-sets.ts'
import type { ReadBytes } from './byte-reader.ts'
import { assertRules, decodeCheckpoint, type Judging } from './checkpoint-decoder.ts'
import { UnknownVersionError } from './checkpoint-format.ts'
import { acquireLock } from './checkpoint-lock.ts'
import type { CountState } from './count-state.ts'

/** The checkpoint's name in DATA_DIR, unless reporting is embedded. */
export const CHECKPOINT = 'checkpoint-reporting'

/** Each version of the view rules has its own checkpoint, so verdicts from different rules are never mixed. */
export function toCheckpointPath(path: string, rules: RulesVersion): string {
  return rules === DEFAULT_RULES ? path : `${path}-${rules}`
}

/** How many set-aside checkpoints to keep per reason. All checkpoints from other releases are kept. */
const MAX_ASIDE = 3

/** The counts in the checkpoint belong to another log, or to the log before it was recreated. */
export class ForeignCheckpointError extends Error {
  override name = 'ForeignCheckpointError'
}

/** A checkpoint file for exclusive use by this process. */
export type CheckpointFile = Disposable & {
  /**
   * Loads the checkpoint; undefined if there is none. If the file cannot be read, logs one line and sets the file
   * aside, so that it is not overwritten. Rejects only if `signal` aborts, or with a StartError if the checkpoint's
   * views were judged by other rules.
   */
  load(signal: AbortSignal, judging?: Judging): Promise<CountState | undefined>
  /**
   * Verifies that the views in the checkpoint, if there is one, were judged by these rules.
   * @throws StartError
   */
  assertRules(rules: RulesVersion): Promise<void>
  /** Renames the checkpoint, and logs one line. If renaming fails, no further checkpoint is written. */
  setAside(reason: Error): Promise<void>
  /** True if the checkpoint must not be written. A restart may change that. */
  isReadOnly(): boolean
  /**
   * Replaces the checkpoint atomically, and returns its size in bytes. Yields to the event loop after each chunk.
   * Rejects if the disk fails or `signal` aborts; in that case, the previous checkpoint remains.
   */
  write(chunks: Iterable<Uint8Array>, signal: AbortSignal): Promise<number>
}

/**
 * Opens `<path>.bin`. If its directory is not writable, logs one line; the checkpoint can then be loaded, but not
 * written.
 * @throws StartError if another process uses it
 */
export async function openCheckpointFile(path: string, log: Logger): Promise<CheckpointFile> {
  const file = `${path}.bin`
  const temporary = `${path}.tmp`
  let lock: Disposable | undefined
  /** Why the checkpoint must not be written. */
  let readOnly: unknown
  try {
    lock = acquireLock(`${path}.lock`)
    // A killed process may have left a temporary file behind.
    await rm(temporary, { force: true })
  } catch (error) {
    if (error instanceof StartError) throw error
    readOnly = error
    log.warn({ file, reason: toReason(error) }, 'DATA_DIR is not writable: the counts are not saved')
  }

  async function setAside(error: unknown): Promise<void> {
    const reason = toReason(error)
    const prefix = `${file}.${toKind(error)}-`
    const aside = `${prefix}${Date.now()}`
    try {
      if (readOnly) throw readOnly
      await rename(file, aside)
      log.error(
        { reason, file, aside },
        'cannot use the checkpoint: it was set aside, and the log is counted from its start',
      )
      if (!(error instanceof UnknownVersionError)) await dropOldest(prefix)
    } catch (cause) {
      readOnly ??= cause
      log.error(
        { reason, file },
        'cannot use the checkpoint: the log is counted from its start, and the counts are not saved',
      )
    }
  }

  return {
    isReadOnly: () => readOnly !== undefined,
    setAside,
    async load(signal, judging) {
      try {
        const state = await readCheckpoint(file, signal, judging)
        if (state) log.info({ file, position: state.position, views: state.views }, 'checkpoint loaded')
        return state
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof StartError) throw error
        await setAside(error)
        return undefined
      }
    },
    async assertRules(rules) {
      const { signal } = new AbortController()
      await readWith(file, signal, (read, size) => assertRules(read, size, rules)).catch((error) => {
        if (error instanceof StartError) throw error
        // Any other error recurs when the checkpoint is loaded, and is handled there.
      })
    },
    async write(chunks, signal) {
      if (readOnly) throw readOnly
      try {
        const size = await writeFlushed(temporary, chunks, signal)
        await rename(temporary, file)
        await flushDirectory(dirname(file))
        return size
      } catch (error) {
        await rm(temporary, { force: true }).catch(() => undefined)
        throw error
      }
    },
    [Symbol.dispose]: () => lock?.[Symbol.dispose](),
  }
}

function toKind(error: unknown): string {
  if (error instanceof UnknownVersionError) return 'unknown-version'
  return error instanceof ForeignCheckpointError ? 'foreign' : 'corrupt'
}

/**
 * Reads a checkpoint; returns undefined if there is none. The caller must hold its lock.
 * @throws CorruptCheckpointError, UnknownVersionError, StartError, or a disk error
 */
export function readCheckpoint(file: string, signal: AbortSignal, judging?: Judging): Promise<CountState | undefined> {
  return readWith(file, signal, (read, size) => decodeCheckpoint(read, size, judging))
}

async function readWith<Content>(
  file: string,
  signal: AbortSignal,
  decode: (read: ReadBytes, size: number) => Promise<Content>,
): Promise<Content | undefined> {
  const handle = await openExisting(file)
  if (!handle) return undefined
  await using _ = handle
  const { size } = await handle.stat()
  return await decode(async (target) => {
    signal.throwIfAborted()
    return (await handle.read(target)).bytesRead
  }, size)
}

async function openExisting(file: string): Promise<FileHandle | undefined> {
  return open(file).catch((error) => {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return undefined
    throw error
  })
}

/** Checkpoints contain user ids, so only the owner may read them. */
async function writeFlushed(file: string, chunks: Iterable<Uint8Array>, signal: AbortSignal): Promise<number> {
  await using handle = await open(file, 'w', PRIVATE_FILE)
  const yieldIfDue = createYielder()
  let size = 0
  for (const chunk of chunks) {
    signal.throwIfAborted()
    await handle.writeFile(chunk)
    // Writing an empty chunk does not yield to the event loop.
    await yieldIfDue()
    size += chunk.length
  }
  await handle.sync()
  return size
}

/** Makes a renamed file survive a power failure. */
async function flushDirectory(directory: string): Promise<void> {
  await using handle = await open(directory)
  await handle.sync()
}

/** Deletes all but the newest MAX_ASIDE files whose paths are `prefix` followed by a timestamp. */
async function dropOldest(prefix: string): Promise<void> {
  const directory = dirname(prefix)
  const names = (await readdir(directory)).filter((name) => name.startsWith(basename(prefix))).toSorted()
  for (const name of names.slice(0, -MAX_ASIDE)) await rm(join(directory, name), { force: true, recursive: true })
}
