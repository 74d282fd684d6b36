import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from '../../shared/runtime/error-code.ts'

const GROUP_AND_OTHERS = 0o077

/**
 * Returns true if no other user of this machine can read the files in a directory. If others cannot enter it, the modes
 * of its files do not matter.
 */
export async function isPrivateDirectory(directory: string): Promise<boolean> {
  if (!(await isOpen(directory))) return true
  try {
    const names = await readdir(directory)
    return !(await Promise.all(names.map((name) => isOpen(join(directory, name))))).includes(true)
  } catch (error) {
    return isInaccessible(error)
  }
}

async function isOpen(path: string): Promise<boolean> {
  try {
    return ((await stat(path)).mode & GROUP_AND_OTHERS) !== 0
  } catch (error) {
    return !isInaccessible(error)
  }
}

/** Returns true if the file does not exist, or this user may not access it. */
function isInaccessible(error: unknown): boolean {
  return ['ENOENT', 'EACCES'].includes(codeOf(error) ?? '')
}
