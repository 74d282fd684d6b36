import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { eventually } from './eventually.ts'
import { freePortRange } from './ports.ts'
import { startProgram } from './service-process.ts'
import type { System } from './system.ts'

type Name = 'metadata' | 'cdnurl' | 'reporting' | 'listener' | 'play'

/** Where each of the five services is. */
export type Services = AsyncDisposable & { [name in Name]: Pick<System[name], 'url'> }

/** All five services in one process, ready. */
export async function startEmbedded(settings: Record<string, string> = {}): Promise<Services> {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'embedded-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const port = await freePortRange()
  stack.use(await startProgram('embedded', 'embedded/main.ts', { DATA_DIR: folder, ...settings }, port))
  const at = (offset: number) => ({ url: toOrigin('127.0.0.1', port + offset) })
  const play = at(0)
  // The edge is the last to listen.
  await eventually(() => fetch(`${play.url}/healthz`))
  const all = stack.move()
  const rest = { metadata: at(1), reporting: at(2), cdnurl: at(3), listener: at(4) }
  return { play, ...rest, [Symbol.asyncDispose]: () => all.disposeAsync() }
}
