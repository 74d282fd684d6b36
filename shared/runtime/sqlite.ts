import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

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
