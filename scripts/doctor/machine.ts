import { statfs } from 'node:fs/promises'
import manifest from '../../package.json' with { type: 'json' }
import { about, type Finding } from './finding.ts'

export const pinnedNode = manifest.devDependencies.node

/** NATS rejects appends before its disk is full. */
const MIN_FREE_MIB = 1_024

/** Checks the Node version, and the free disk space for a directory if it exists. */
export async function* checkMachine(directory: string): AsyncGenerator<Finding> {
  const { node } = process.versions
  if (node === pinnedNode) yield about('node').ok(`${node}, as pinned`)
  else
    yield about('node').warn(`${node}, but the project is tested with ${pinnedNode}: npm run doctor uses that version`)

  const disk = await statfs(directory).catch(() => undefined)
  if (!disk) return
  const freeMib = Math.round((disk.bavail * disk.bsize) / 2 ** 20)
  const text = `${freeMib.toLocaleString('en')} MiB free for ${directory}`
  if (freeMib > MIN_FREE_MIB) yield about('disk').ok(text)
  else
    yield about('disk').warn(
      `${text}: free some space, or set EVENTS_MAX_AGE, before the log and the outbox run out of space`,
    )
}
