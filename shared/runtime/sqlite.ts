import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/**
 * Opens a SQLite file, made with its folder where there is none, for this process alone. What is written is on disk
 * when the write returns.
 * @throws Error where it cannot be opened, or another process has it
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
