import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PRIVATE_FILE } from '../../../shared/runtime/private-files.ts'
import { type Secret, toSecret } from '../../../shared/runtime/secret.ts'

/** Returns the path of the file with the token for an edge's controls. Commands in other terminals read it. */
export function tokenFileOf(dataDir: string, edgePort: number): string {
  return join(dataDir, `controls-${edgePort}`)
}

/** Replaces the token file. Only its owner may read it. Returns false if the directory is not writable. */
export function writeToken(file: string, dataDir: string, token: Secret): boolean {
  try {
    mkdirSync(dataDir, { recursive: true })
    // Remove the file first, because an existing file would keep its mode.
    rmSync(file, { force: true })
    writeFileSync(file, `${token.reveal()}\n`, { mode: PRIVATE_FILE, flag: 'wx' })
    return true
  } catch {
    return false
  }
}

/** @returns undefined if `npm start` is not running on this port */
export function readToken(file: string): Secret | undefined {
  try {
    return toSecret(readFileSync(file, 'utf8').trim())
  } catch {
    return undefined
  }
}
