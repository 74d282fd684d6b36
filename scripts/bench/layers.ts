import { withResources } from '../../tests/harness/resources.ts'
import { startService } from '../../tests/harness/service-process.ts'
import type { System } from '../../tests/harness/system.ts'
import { alignColumns } from '../table.ts'
import { playFor } from './load.ts'
import { cpuOf } from './measure.ts'
import { type Shares, startProfiled } from './profile.ts'
import { type CountedTarget, toCountedTarget } from './target.ts'
import { startBare } from './targets.ts'

const WARM_UP_SECONDS = 3
const LARGEST = 4
const OTHER = 'other'

/** The layers of a play, and the files and packages of each. The first matching pattern wins. */
const LAYERS: [string, RegExp][] = [
  ['garbage collection', /^\(garbage/],
  ['kernel, native code', /^\(program/],
  ['HTTP and routing', /^(node|hono|@hono\/node-server|shared\/service\/(serve|listen|limit|hosts).*|scripts\/.*)$/],
  ['cache', /^(play\/asset-|lru-cache|shared\/catalogue)/],
  ['lookup', /^(play\/(count-lookup|upstreams)|undici|cockatiel|shared\/(client|discovery|contracts))/],
  [
    'append',
    /^(play\/(recorder|spooler|serials|recent-views|outbox|direct-append)|nats|shared\/(event-log|nats|records))/,
  ],
  ['aggregate, compose', /^play\/(aggregate|player|playback|keyed-player|signing)/],
  ['middleware', /^(play\/|shared\/(http|service|tracing)|zod|@hono\/|hono-openapi|prom-client|pino|@opentelemetry)/],
]
const ORDER = ['HTTP and routing', 'middleware', 'cache', 'lookup', 'append', 'aggregate, compose']

type Options = { connections: number; seconds: number }
type Profiled = { shares: Shares; micros: number }

/**
 * Profiles a bare Hono app, and an additional play service in a system, under load.
 * @returns the CPU time per play by layer, and the additional play service as a target
 */
export async function measureLayers(system: System, options: Options) {
  await using stack = new AsyncDisposableStack()
  const started = stack.use(await startProfiled((env) => startService('play', { ...system.env, ...env })))
  const play: CountedTarget = toCountedTarget('profiled play', system, [started.process])
  await using bare = await startProfiled(startBare)
  const ofPlay = await profile(started, options)
  const ofBare = await profile(bare, options)
  return withResources({ table: toTable(ofPlay, ofBare), play }, stack)
}

type Started = Awaited<ReturnType<typeof startProfiled>>

async function profile({ process, profileDuring }: Started, load: Options): Promise<Profiled> {
  const { url } = process
  await playFor({ url, ...load, seconds: Math.min(load.seconds, WARM_UP_SECONDS) })
  let micros = Number.NaN
  const shares = await profileDuring(async () => {
    const pids = { own: [process.pid()] }
    const before = await cpuOf(pids)
    const { perSecond } = await playFor({ url, ...load })
    const after = await cpuOf(pids)
    micros = ((Number(after.own) - Number(before.own)) * 1_000) / (perSecond * load.seconds)
  })
  return { shares, micros }
}

function toTable(play: Profiled, bare: Profiled): string {
  const layers = [...ORDER, ...LAYERS.map(([layer]) => layer).filter((layer) => !ORDER.includes(layer)), OTHER]
  const format = (micros: number) => micros.toFixed(1)
  const rows = layers.map((layer) => {
    const places = placesOf(play, layer)
    const largest = places.slice(0, LARGEST).map(([place, micros]) => `${place} ${format(micros)}`)
    return [layer, format(sum(places)), format(sum(placesOf(bare, layer))), largest.join(', ')]
  })
  const total = ['CPU microseconds per play', format(play.micros), format(bare.micros), '']
  return `${alignColumns([['layer', 'play', 'bare Hono', 'the largest parts'], ...rows, total], 0, 3)}\n`
}

/** The CPU time per play for each place in a layer, in descending order. */
function placesOf({ shares, micros }: Profiled, layer: string): [string, number][] {
  return [...shares]
    .filter(([place]) => layerOf(place) === layer)
    .map(([place, share]): [string, number] => [place, share * micros])
    .sort(([, a], [, b]) => b - a)
}

function layerOf(place: string): string {
  return LAYERS.find(([, pattern]) => pattern.test(place))?.[0] ?? OTHER
}

function sum(places: [string, number][]): number {
  return places.reduce((total, [, micros]) => total + micros, 0)
}
