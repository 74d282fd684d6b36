import { lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { codeOf } from '../../../shared/runtime/error-code.ts'
import type { Secret } from '../../../shared/runtime/secret.ts'
import { readToken, writeToken } from './token-file.ts'

/** The name contains the pid of its process, so that a later start can tell whether that process still runs. */
const DIRECTORY_NAME_PATTERN = /^video-edge-(\d+)-/
const TOKEN = 'token'
const TOKEN_FILE = 'token-file'

/** Creates a directory for the controls' socket. Only its user may enter it. */
export function createSocketDirectory(token: Secret, tokenFile: string): string {
  const directory = mkdtempSync(join(tmpdir(), `video-edge-${process.pid}-`))
  writeToken(join(directory, TOKEN), directory, token)
  symlinkSync(tokenFile, join(directory, TOKEN_FILE))
  return directory
}

/** Removes the directories of processes that were killed, and the token files that they left behind. */
export function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const [, pid] = DIRECTORY_NAME_PATTERN.exec(name) ?? []
    if (pid === undefined || isAlive(Number(pid))) continue
    const directory = join(tmpdir(), name)
    try {
      if (isOwnDirectory(directory)) removeLeftover(directory)
    } catch {
      // Another `npm start` has just removed it.
    }
  }
}

/** Guards against other users' directories, which may contain links to this user's files. */
function isOwnDirectory(path: string): boolean {
  const found = lstatSync(path)
  return found.isDirectory() && found.uid === process.getuid?.()
}

/** Removes a directory, and its token file unless another `npm start` has replaced that file. */
function removeLeftover(directory: string): void {
  const link = join(directory, TOKEN_FILE)
  const token = readToken(join(directory, TOKEN))?.reveal()
  if (token !== undefined && readToken(link)?.reveal() === token) rmSync(readlinkSync(link), { force: true })
  rmSync(directory, { recursive: true, force: true })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: the process belongs to another user.
    return codeOf(error) !== 'ESRCH'
  }
}
