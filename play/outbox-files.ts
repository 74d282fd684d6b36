import { existsSync, linkSync, renameSync, statSync, unlinkSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from '../shared/runtime/error-code.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { toReason } from '../shared/runtime/reason.ts'
import { isCorrupt, isLocked } from '../shared/runtime/sqlite.ts'
import { type OutboxFile, openOutboxFile } from './outbox-file.ts'
import { searchOutbox } from './outbox-search.ts'
import { askOwner, serveOutbox, type WaitingView } from './outbox-socket.ts'

/** Higher than the number of processes that can share a port on one machine. */
const MAX_PER_PORT = 1_000

/** The outbox of a process that has ended, with its number of views. */
export type Orphan = { file: string; outbox: OutboxFile; views: number }

export type OutboxFiles = {
  /**
   * Opens the first file for this port that no process has open; creates a new file if all are in use.
   * @throws Error if the disk fails
   */
  claim(port: number): OutboxFile
  /** Opens all non-empty files, for any port, that no process has open. Returns none if the disk fails. */
  openOrphans(): Promise<Orphan[]>
  /**
   * Finds a view in the outboxes of all processes.
   * @throws Error if an outbox that may have the view cannot be searched before `signal` aborts
   */
  find(id: string, signal: AbortSignal): Promise<WaitingView | undefined>
}

/**
 * The outboxes in a directory, one file per process. SQLite's lock shows which files are in use, because the lock is
 * released when its process ends. Only SQLite may open the files: a process loses its POSIX locks on a file when it
 * closes any descriptor of that file.
 *
 * Files are reused but never deleted. Otherwise, a process could open a file just before another one deletes it, and
 * lose the views that it writes there.
 */
export function createOutboxFiles({ directory, log }: { directory: string; log: Logger }): OutboxFiles {
  /** The files that this process has open. */
  const held = new Map<string, OutboxFile>()
  /** The fingerprints of files that were empty. A file with the same fingerprint is still empty. */
  const empty = new Map<string, string>()
  const reported = new Set<string>()

  function open(file: string): OutboxFile {
    const outbox = openOutboxFile(file)
    held.set(file, outbox)
    const socket = serveOutbox(file, (id, signal) => searchOutbox(outbox, id, signal), log)
    return {
      ...outbox,
      [Symbol.dispose]() {
        // Close the socket before the file is unlocked, because the next process to lock it uses the same socket path.
        socket[Symbol.dispose]()
        outbox[Symbol.dispose]()
        held.delete(file)
      },
    }
  }

  /**
   * Opens a file; returns undefined if it is in use. Sets a corrupt file aside, and opens a new one in its place.
   * @throws Error if the disk fails, or if a corrupt file cannot be set aside
   */
  function openUnlessInUse(file: string): OutboxFile | undefined {
    if (held.has(file)) return undefined
    const inode = statSync(file, { throwIfNoEntry: false })?.ino
    try {
      return open(file)
    } catch (error) {
      if (isLocked(error)) return undefined
      if (!isCorrupt(error) || inode === undefined) throw error
      const aside = setAside(file, inode)
      if (aside === undefined) throw error
      log.error({ file, aside, reason: toReason(error) }, 'the outbox is corrupt; set aside')
      return openUnlessInUse(file)
    }
  }

  /** Returns the outbox as an orphan; closes it if it is empty or cannot be read. */
  function inspect(file: string, outbox: OutboxFile): Orphan | undefined {
    let orphan: Orphan | undefined
    try {
      // A backlog without views may still have reports of watch time.
      if (outbox.first() || outbox.predecessor()) orphan = { file, outbox, views: outbox.size() }
    } finally {
      if (!orphan) outbox[Symbol.dispose]()
    }
    return orphan
  }

  function isKnownEmpty(file: string): boolean {
    const stamp = stampOf(file)
    return stamp !== undefined && empty.get(file) === stamp
  }

  async function findInFile(file: string, id: string, signal: AbortSignal): Promise<WaitingView | undefined> {
    const heldOutbox = held.get(file)
    if (heldOutbox) {
      return searchOutbox(heldOutbox, id, signal).catch((error) => {
        if (held.get(file) === heldOutbox) throw error
        // Another search has closed the outbox in the meantime, or the adopter has drained and closed it.
        signal.throwIfAborted()
        return findInFile(file, id, signal)
      })
    }
    if (isKnownEmpty(file)) return undefined
    using orphan = openUnlessInUse(file)
    return orphan ? await searchOutbox(orphan, id, signal) : askOwner(file, id, signal)
  }

  /** The paths of all outboxes; none if the directory does not exist. */
  async function list(): Promise<string[]> {
    const names = await readdir(directory).catch((error) => {
      if (codeOf(error) !== 'ENOENT') throw error
      return []
    })
    return names.filter((name) => portOfOutbox(name) !== undefined).map((name) => join(directory, name))
  }

  function openOrphan(file: string): Orphan[] {
    try {
      if (isKnownEmpty(file)) return []
      const outbox = openUnlessInUse(file)
      reported.delete(file)
      if (!outbox) return []
      const orphan = inspect(file, outbox)
      if (orphan) return [orphan]
      const stampNow = stampOf(file)
      if (stampNow !== undefined) empty.set(file, stampNow)
    } catch (error) {
      if (!reported.has(file)) log.warn({ file, reason: toReason(error) }, 'cannot read an orphaned outbox')
      reported.add(file)
    }
    return []
  }

  return {
    claim(port) {
      for (let number = 1; number <= MAX_PER_PORT; number += 1) {
        try {
          const outbox = openUnlessInUse(join(directory, outboxName(port, number)))
          if (outbox) return outbox
        } catch (error) {
          if (!isCorrupt(error)) throw error
        }
      }
      throw new Error(`all ${MAX_PER_PORT} outboxes for port ${port} are in use`)
    },
    async openOrphans() {
      const files = await list().catch(() => [])
      return files.flatMap(openOrphan)
    },
    async find(id, signal) {
      const searches = (await list()).map((file) => findInFile(file, id, signal))
      const settled = await Promise.allSettled(searches)
      const found = settled.find((search) => search.status === 'fulfilled' && search.value !== undefined)
      // If no search has found the view, this throws the first failure, if any.
      return found?.status === 'fulfilled' ? found.value : (await Promise.all(searches))[0]
    },
  }
}

/** A port's first file has the same name as in earlier releases. */
function outboxName(port: number, number: number): string {
  return number === 1 ? `outbox-${port}.sqlite` : `outbox-${port}-${number}.sqlite`
}

/** The port in an outbox's name; undefined for other files. */
export function portOfOutbox(name: string): number | undefined {
  const port = /^outbox-(\d+)(?:-\d+)?\.sqlite$/.exec(name)?.[1]
  return port === undefined ? undefined : Number(port)
}

/**
 * Returns a fingerprint that changes with each write; undefined while a process has the file open, or if the last
 * process that had the file open was killed.
 */
function stampOf(file: string): string | undefined {
  const stats = existsSync(`${file}-wal`) ? undefined : statSync(file, { throwIfNoEntry: false })
  return stats && `${stats.ino} ${stats.mtimeMs} ${stats.size}`
}

/**
 * Renames a corrupt file, so that nothing in it is lost. Several processes may find the same corrupt file, but only the
 * first process to link it renames it. Otherwise, a process could rename the new file that another one has created.
 * @returns the new name, or undefined if another process renames the file, or if the file system has no hard links
 */
function setAside(file: string, inode: number): string | undefined {
  const aside = `${file}.corrupt-${inode}`
  try {
    linkSync(file, aside)
  } catch {
    return undefined
  }
  if (statSync(aside).ino !== inode) {
    unlinkSync(aside)
    return undefined
  }
  if (existsSync(`${file}-wal`)) renameSync(`${file}-wal`, `${aside}-wal`)
  unlinkSync(file)
  return aside
}
