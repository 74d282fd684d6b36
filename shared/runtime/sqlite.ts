import { chmodSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { codeOf } from './error-code.ts'
import { PRIVATE_DIRECTORY, PRIVATE_FILE } from './private-files.ts'

// https://www.sqlite.org/rescode.html
const SQLITE_BUSY = 5
const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26

/** How long to wait for a lock that another process holds: when opening a shared file, and for each write to it. */
const OPEN_TIMEOUT_MS = 1_000
const WRITE_TIMEOUT_MS = 5

/**
 * Opens a SQLite file exclusively, and creates it and its directory if they do not exist. A write returns only after it
 * is flushed to disk.
 * @throws Error if the file cannot be opened, or another process has it open
 */
export function openSqlite(file: string, schema: string): DatabaseSync {
  return open(
    file,
    `
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      ${schema}
    `,
  )
}

/**
 * Opens a SQLite file that other processes on this machine may also open. Writes are not flushed to disk: they survive
 * a process crash, but may be lost if the machine crashes.
 * @throws Error if the file cannot be opened, or is locked for longer than a second
 */
export function openSharedSqlite(file: string, schema: string): DatabaseSync {
  return open(
    file,
    `
      PRAGMA busy_timeout = ${OPEN_TIMEOUT_MS};
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = OFF;
      ${schema}
      PRAGMA busy_timeout = ${WRITE_TIMEOUT_MS};
    `,
  )
}

function open(file: string, statements: string): DatabaseSync {
  if (file !== ':memory:') {
    mkdirSync(dirname(file), { recursive: true, mode: PRIVATE_DIRECTORY })
    for (const path of [file, `${file}-wal`, `${file}-shm`]) makePrivate(path)
  }
  const db = new DatabaseSync(file)
  try {
    db.exec(statements)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * Runs `work` in a transaction, which is rolled back if `work` throws.
 * @throws Error without running `work` if the file is locked
 */
export function inTransaction<Result>(db: DatabaseSync, work: () => Result): Result {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    db.exec('COMMIT')
    return result
  } catch (error) {
    // SQLite may have rolled back already, for example because the disk is full.
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

/**
 * Makes a file private, because earlier releases created files that other users could read. SQLite creates its other
 * files with the database file's mode.
 */
function makePrivate(path: string): void {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0
  if ((mode & 0o077) === 0) return
  try {
    // Change the mode by path: closing a descriptor for the file would release its locks.
    chmodSync(path, PRIVATE_FILE)
  } catch (error) {
    // The file belongs to another user, who decides whether to share it.
    if (codeOf(error) !== 'EPERM') throw error
  }
}

/** Returns true if an error means that another process has locked the file. */
export function isLocked(error: unknown): boolean {
  return resultCodeOf(error) === SQLITE_BUSY
}

/** Returns true if an error means that the file is damaged, or is not a SQLite file. */
export function isCorrupt(error: unknown): boolean {
  const code = resultCodeOf(error)
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB
}

/** The primary result code, which is the lowest 8 bits of an extended result code. */
function resultCodeOf(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : undefined
}
