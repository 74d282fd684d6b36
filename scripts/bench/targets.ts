import { readFile } from 'node:fs/promises'
import { freePort } from '../../tests/harness/ports.ts'
import { withResources } from '../../tests/harness/resources.ts'
import { type ServiceProcess, startCommand, startService } from '../../tests/harness/service-process.ts'
import { type System, startSystem } from '../../tests/harness/system.ts'
import { nodeFlagsOf, parseProcfile } from '../start/procfile.ts'
import { startGin } from './gin/start.ts'
import { seed } from './seed.ts'
import { type CountedTarget, type Target, toCountedTarget } from './target.ts'

export const SYSTEM = 'the system'
export const BARE = 'bare Hono'

/** The rows for `--naive`, and the `NAIVE` setting for each (naive-play.ts). */
const VARIANTS = {
  'without the cache': 'cache',
  'without batched lookups': 'lookups',
  'without group commit': 'commit',
  'without all three': 'cache,lookups,commit',
}

export type Targets = AsyncDisposable & { system: System; all: Target[]; counted: CountedTarget[] }

export type TargetOptions = {
  fsync: boolean
  naive: boolean
  gin: boolean
  plays: number
}

export function natsOptionsOf({ fsync }: Pick<TargetOptions, 'fsync'>) {
  return fsync ? { config: 'deploy/nats.conf' } : {}
}

/** Starts all targets on free ports. */
export async function startTargets(options: TargetOptions): Promise<Targets> {
  await using stack = new AsyncDisposableStack()
  const [system, bare] = await Promise.all([startSystem({}, natsOptionsOf(options)), startBare()])
  stack.use(system)
  stack.use(bare)
  await seed(system)

  const counted: CountedTarget[] = [toCountedTarget(SYSTEM, system)]
  if (options.plays > 1) {
    const plays = await startSharedPort(system, options.plays)
    for (const play of plays) stack.use(play)
    counted.push(toCountedTarget(`${options.plays} plays on one port`, system, plays))
  }
  for (const [name, strategies] of options.naive ? Object.entries(VARIANTS) : []) {
    counted.push(toCountedTarget(name, system, [stack.use(await startNaivePlay(system, strategies))]))
  }
  const all: Target[] = [...counted, { name: BARE, url: bare.url, pids: () => ({ play: [bare.pid()] }) }]
  if (options.gin) all.push(stack.use(await startGin(system.nats)))
  return withResources({ system, all, counted }, stack)
}

export function startBare(env: Record<string, string> = {}): Promise<ServiceProcess> {
  return startCommand(BARE, process.execPath, ['scripts/bench/bare-hono.ts'], env)
}

/** Starts additional play processes in a system. They share one port. */
async function startSharedPort({ env }: System, count: number): Promise<ServiceProcess[]> {
  const port = await freePort()
  const settings = { ...env, REUSE_PORT: '1' }
  return Promise.all(Array.from({ length: count }, () => startService('play', settings, port)))
}

/** Starts naive-play.ts in a system, with the Node flags that the Procfile has for play. */
export async function startNaivePlay({ env }: Pick<System, 'env'>, strategies: string): Promise<ServiceProcess> {
  const command = parseProcfile(await readFile('Procfile', 'utf8')).find(({ name }) => name === 'play')
  const flags = command ? nodeFlagsOf(command) : []
  const args = [...flags, 'scripts/bench/naive-play.ts']
  return startCommand('play', process.execPath, args, { ...env, NAIVE: strategies })
}
