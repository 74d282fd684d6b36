import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { NatsAccess } from '../../shared/nats/credentials.ts'
import { codeOf } from '../../shared/runtime/error-code.ts'
import { isLoopback } from '../../shared/runtime/loopback.ts'
import { withoutBrackets } from '../../shared/runtime/origin.ts'

const GROUP_AND_OTHERS = 0o077

/** Returns true if nobody on the network can log in to a NATS server, or read what is sent to it. */
export function isPrivateServer(server: string, { ca, authenticate }: NatsAccess): boolean {
  const url = new URL(server.includes('://') ? server : `nats://${server}`)
  return isLoopbackUrl(url) || (authenticate !== undefined && (url.protocol === 'tls:' || ca !== undefined))
}

/** Returns true if nobody on the network can read what is sent to an origin. */
export function isPrivateUrl(origin: string): boolean {
  const url = new URL(origin)
  return url.protocol === 'https:' || isLoopbackUrl(url)
}

/** Returns true if nobody on the network can read what is sent to a database. */
export function isPrivateDatabase(url: URL): boolean {
  return isLoopbackUrl(url) || url.searchParams.get('sslmode') === 'verify-full'
}

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

function isLoopbackUrl({ hostname }: URL): boolean {
  return isLoopback(withoutBrackets(hostname))
}
