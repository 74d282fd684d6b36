import { readFile } from 'node:fs/promises'
import { postAsset } from '../../tests/harness/assets.ts'
import type { NatsOptions } from '../../tests/harness/nats-server.ts'
import { freePort } from '../../tests/harness/ports.ts'
import { startPostgres } from '../../tests/harness/postgres.ts'
import { withResources } from '../../tests/harness/resources.ts'
import { type ServiceProcess, startCommand, startService } from '../../tests/harness/service-process.ts'
import { type System, startSystem } from '../../tests/harness/system.ts'
import { nodeFlagsOf, parseProcfile } from '../start/procfile.ts'
import { startGin } from './gin/start.ts'
import { ASSETS } from './load.ts'
import { startObserved } from './observed.ts'
import type { Target } from './target.ts'

const SYSTEM = 'the system'
export const BARE = 'bare Hono'

/** The row of `--observed`. */
const OBSERVED = 'traced, scraped'

/** The row of `--signed`. */
const SIGNED = 'URLs signed'
const CDN = { CDN_BASE_URL: 'https://cdn.example', CDN_KEYS: 'k1:secret-of-the-benchmark' }

/** The row of `--postgres`. */
const POSTGRES = 'counts in Postgres'

/** The rows of `--naive`, and the `NAIVE` setting of each (naive-play.ts). */
const VARIANTS = {
  'without the cache': 'cache',
  'without batched lookups': 'lookups',
  'without group commit': 'commit',
  'without all three': 'cache,lookups,commit',
}

/** Edges, each one or several processes on a port, and the reporting instance that counts their plays. */
export type CountedEdges = { edges: { url: string; processes: number }[]; reporting: string }

export type Targets = AsyncDisposable & { all: Target[]; counted: CountedEdges[] }

type Options = {
  fsync: boolean
  naive: boolean
  observed: boolean
  signed: boolean
  gin: boolean
  plays: number
  postgres: boolean
}

/** Starts all targets on free ports. */
export async function startTargets(options: Options): Promise<Targets> {
  await using stack = new AsyncDisposableStack()
  const natsOptions = options.fsync ? { config: 'deploy/nats.conf' } : {}
  const [system, observed, onPostgres, bare] = await Promise.all([
    startSystem({}, natsOptions),
    options.observed ? startObserved(natsOptions) : undefined,
    options.postgres ? startOnPostgres(natsOptions) : undefined,
    startCommand(BARE, process.execPath, ['scripts/bench/bare-hono.ts'], {}),
  ])
  for (const started of [system, observed, onPostgres, bare]) stack.use(started)
  const edges = [{ name: SYSTEM, url: system.play.url, processes: [system.play] }]
  if (options.plays > 1) {
    const processes = await startSharedPort(system, options.plays)
    for (const process of processes) stack.use(process)
    edges.push({ name: `${options.plays} plays on one port`, url: processes[0]?.url ?? '', processes })
  }
  if (options.signed) {
    const process = stack.use(await startService('play', { ...system.env, ...CDN }))
    edges.push({ name: SIGNED, url: process.url, processes: [process] })
  }
  for (const [name, strategies] of options.naive ? Object.entries(VARIANTS) : []) {
    const process = stack.use(await startNaivePlay(system, strategies))
    edges.push({ name, url: process.url, processes: [process] })
  }
  const separate = [
    { name: OBSERVED, system: observed },
    { name: POSTGRES, system: onPostgres },
  ].flatMap(({ name, system }) => (system ? { name, system } : []))
  await Promise.all([system, ...separate.map(({ system }) => system)].map(seed))
  const all: Target[] = [
    ...edges.map(({ name, url, processes }) => ({ name, url, pids: pidsOf(system, processes) })),
    { name: BARE, url: bare.url, pids: { play: [bare.pid()] } },
  ]
  const counted = [
    {
      edges: edges.map(({ url, processes }) => ({ url, processes: processes.length })),
      reporting: system.reporting.url,
    },
  ]
  for (const { name, system } of separate) {
    const { url } = system.play
    all.push({ name, url, pids: pidsOf(system, [system.play]) })
    counted.push({ edges: [{ url, processes: 1 }], reporting: system.reporting.url })
  }
  if (options.gin) all.push(stack.use(await startGin(system.nats)))
  const started = stack.move()
  return { all, counted, [Symbol.asyncDispose]: () => started.disposeAsync() }
}

async function startOnPostgres(natsOptions: NatsOptions): Promise<System> {
  await using stack = new AsyncDisposableStack()
  const postgres = stack.use(await startPostgres())
  const system = stack.use(await startSystem({ DATABASE_URL: await postgres.createDatabase() }, natsOptions))
  return withResources(system, stack)
}

/** Starts plays next to a system, which share a port of their own. */
async function startSharedPort({ env }: System, count: number): Promise<ServiceProcess[]> {
  const port = await freePort()
  const settings = { ...env, REUSE_PORT: '1' }
  return Promise.all(Array.from({ length: count }, () => startService('play', settings, port)))
}

/** Starts naive-play.ts next to a system, with the Node flags of play in the Procfile. */
export async function startNaivePlay({ env }: Pick<System, 'env'>, strategies: string): Promise<ServiceProcess> {
  const command = parseProcfile(await readFile('Procfile', 'utf8')).find(({ name }) => name === 'play')
  const flags = command ? nodeFlagsOf(command) : []
  const args = [...flags, 'scripts/bench/naive-play.ts']
  return startCommand('play', process.execPath, args, { ...env, NAIVE: strategies })
}

function pidsOf({ reporting, listener, nats }: System, plays: ServiceProcess[]): Target['pids'] {
  return {
    play: plays.map((play) => play.pid()),
    reporting: [reporting.pid()],
    'queue-listener': [listener.pid()],
    'nats-server': [nats.pid()],
  }
}

/** Adds the assets that the load plays. */
export async function seed(system: System): Promise<void> {
  const summary = 'A summary of one or two sentences, about as long as the summary of a film usually is.'
  for (let n = 0; n < ASSETS; n += 1) {
    const id = `bench-${n}`
    const url = `https://cdn.example.com/${id}.mp4`
    await postAsset(system, { id, title: 'A title of usual length', summary, url })
  }
}
