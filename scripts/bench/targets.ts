import { startCommand, startService } from '../../tests/harness/service-process.ts'
import { type System, startSystem } from '../../tests/harness/system.ts'
import { startGin } from './gin/start.ts'
import { ASSETS } from './load.ts'
import { startObserved } from './observed.ts'
import type { Target } from './target.ts'

export const SYSTEM = 'the system'
export const BARE = 'bare Hono'

/** The row of `--observed`. */
const OBSERVED = 'traced, scraped'

/** What `--naive` leaves out, by the name of its row. */
const VARIANTS = {
  'without the cache': 'cache',
  'without group look-ups': 'group-lookups',
  'without group commit': 'group-commit',
  'without all three': 'cache,group-lookups,group-commit',
}

/** Edges whose plays are counted by one `reporting`. */
export type Counted = { edges: string[]; reporting: string }

export type Targets = AsyncDisposable & { all: Target[]; counted: Counted[] }

type Options = { fsync: boolean; naive: boolean; observed: boolean; gin: boolean }

/** Starts all that is to be measured, on free ports. */
export async function startTargets(options: Options): Promise<Targets> {
  await using stack = new AsyncDisposableStack()
  const natsOptions = options.fsync ? { config: 'deploy/nats.conf' } : {}
  const system = stack.use(await startSystem({}, natsOptions))
  await seed(system)
  const plays = [{ name: SYSTEM, process: system.play }]
  for (const [name, BENCH_WITHOUT] of options.naive ? Object.entries(VARIANTS) : []) {
    plays.push({ name, process: stack.use(await startService('play', { ...system.env, BENCH_WITHOUT })) })
  }
  const bare = stack.use(await startCommand(BARE, process.execPath, ['scripts/bench/bare-hono.ts'], {}))
  const all = [
    ...plays.map(({ name, process }) => ({ name, url: process.url, pids: pidsOf(system, process) })),
    { name: BARE, url: bare.url, pids: { play: bare.pid() } },
  ]
  const counted = [{ edges: plays.map(({ process }) => process.url), reporting: system.reporting.url }]
  if (options.observed) {
    const observed = stack.use(await startObserved(natsOptions))
    await seed(observed)
    all.push({ name: OBSERVED, url: observed.play.url, pids: pidsOf(observed, observed.play) })
    counted.push({ edges: [observed.play.url], reporting: observed.reporting.url })
  }
  if (options.gin) all.push(stack.use(await startGin(system.nats)))
  const started = stack.move()
  return { all, counted, [Symbol.asyncDispose]: () => started.disposeAsync() }
}

function pidsOf({ reporting, listener, nats }: System, play: System['play']): Target['pids'] {
  return { play: play.pid(), reporting: reporting.pid(), 'queue-listener': listener.pid(), 'nats-server': nats.pid() }
}

async function seed({ metadata, cdnurl }: System): Promise<void> {
  for (let n = 0; n < ASSETS; n += 1) {
    const summary = 'A summary that says in a sentence or two what happens, as that of a film does.'
    await post(`${metadata.url}/content/asset/bench-${n}`, {
      title: 'A title of usual length',
      genre: 'drama',
      summary,
    })
    await post(`${cdnurl.url}/url/asset/bench-${n}`, { url: `https://cdn.example.com/bench-${n}.mp4` })
  }
}

async function post(url: string, body: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
}
