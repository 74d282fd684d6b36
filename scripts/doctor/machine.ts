import { readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { type Line, ok, warn } from './line.ts'

/** The Node that the project runs on, from its package.json. */
export const pinnedNode: string = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  .devDependencies.node

/** NATS stops taking views some time before its disk is full. */
const LEAST_FREE_BYTES = 1024 ** 3

export async function examineMachine(folder: string): Promise<Line[]> {
  return [judgeNode(process.versions.node), ...(await examineDisk(folder))]
}

function judgeNode(running: string): Line {
  if (running === pinnedNode) return ok('node', `${running}, as pinned`)
  return warn('node', `${running}, and the project is tested on ${pinnedNode}: npm run doctor takes that`)
}

/** Nothing where the folder is not there yet. */
async function examineDisk(folder: string): Promise<Line[]> {
  const disk = await statfs(folder).catch(() => undefined)
  if (!disk) return []
  const free = disk.bavail * disk.bsize
  const text = `${Math.round(free / 1024 ** 2).toLocaleString('en')} MiB free for ${folder}`
  if (free > LEAST_FREE_BYTES) return [ok('disk', text)]
  return [warn('disk', `${text}: make room, or set EVENTS_MAX_AGE, before the log and the outbox take no more`)]
}
