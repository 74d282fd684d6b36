import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

// https://www.sqlite.org/rescode.html
const SQLITE_BUSY = 5
const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26

/**
 * Opens a SQLite file exclusively, and creates it and its directory if they do not exist. Writes are flushed to disk
 * before they return.
 * @throws Error if the file cannot be opened, or another process has it open
 */
export function openSqlite(file: string, schema: string): DatabaseSync {
  if (file !== ':memory:') mkdirSync(dirname(file), { recursive: true })
  const db = new DatabaseSync(file)
  try {
    db.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      ${schema}
    `)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Returns true if another process has the file open. */
export function isLocked(error: unknown): boolean {
  return resultCodeOf(error) === SQLITE_BUSY
}

/** Returns true if the file is damaged, or is not a SQLite file. */
export function isCorrupt(error: unknown): boolean {
  const code = resultCodeOf(error)
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB
}

/** The lowest 8 bits of an extended result code are the result code. */
function resultCodeOf(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : undefined
}
