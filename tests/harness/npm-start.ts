import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { ServiceName } from '../../services.ts'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { type Child, startChild } from './child.ts'
import { mapServices } from './each-service.ts'
import { freePortRange, portNextTo } from './ports.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** The system that `npm start` runs, on free ports. */
export type Started = AsyncDisposable &
  Record<ServiceName, { url: string }> & {
    child: Child
    /** The URL of the edge that serves the clips. */
    cdn: string
    edgePort: number
  }

type Environment = Record<string, string>

/**
 * Runs `npm start`, and waits until everything is ready.
 * @param given the environment, or a function that takes the edge's port and returns the environment
 */
export async function npmStart(given: Environment | ((edgePort: number) => Environment)): Promise<Started> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('npm-start'))
  const edgePort = await freePortRange()
  const env = typeof given === 'function' ? given(edgePort) : given
  const child = startChild(process.execPath, ['scripts/start/main.ts', '--port', String(edgePort)], {
    env: { DATA_DIR: directory.path, NATS_URL: '', CDN_BASE_URL: '', CDN_KEYS: '', ...env },
  })
  stack.defer(() => child[Symbol.asyncDispose]())
  await child.line((line) => line.startsWith('Try: ') || undefined)
  const services = await mapServices(async (name) => ({ url: toOrigin('127.0.0.1', portNextTo(edgePort, name)) }))
  return withResources({ ...services, child, edgePort, cdn: toOrigin('127.0.0.1', edgePort + 5) }, stack)
}

/** The token in the tour URL that `npm start` prints. */
export function tokenOf({ child, edgePort }: Pick<Started, 'child' | 'edgePort'>): string {
  const printed = new RegExp(`^Tour: http://localhost:${edgePort}/tour#controls=([\\w-]{43})$`)
  return child.lines.flatMap((line) => printed.exec(line)?.[1] ?? [])[0] ?? ''
}

/** Creates a directory for the PATH that contains only these programs. */
export async function createPath(programs: Record<string, string>) {
  const directory = await createTempDirectory('path')
  for (const [name, file] of Object.entries(programs)) symlinkSync(file, join(directory.path, name))
  return directory
}
