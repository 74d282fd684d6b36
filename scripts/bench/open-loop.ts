import { services } from '../../services.ts'
import type { System } from '../../tests/harness/system.ts'
import { alignColumns } from '../table.ts'
import { playFor, type Round } from './load.ts'
import { measure, median, rampUp } from './measure.ts'
import { showProgress } from './output.ts'
import { type RunQueue, readRunQueue } from './run-queue.ts'
import { toTable } from './table.ts'
import type { Target } from './target.ts'

/**
 * With this many connections, each connection is mostly idle, so a slow response delays almost no other play. The
 * connections act as independent users, which makes the load an open loop.
 */
const CONNECTIONS = 256

/**
 * The load on bare Hono while the system is under load. Kept low, so that it takes little CPU time from the system.
 */
const BESIDE = { connections: 16, perSecond: 200 }

/** The interval at which Node samples the event-loop delay. Each sample includes this interval. */
const RESOLUTION_MS = 10

type OpenLoop = {
  system: System
  /** The system, and the baseline at the same load. */
  targets: [Target, Target]
  perSecond: number
  seconds: number
  rounds: number
}

/** Measures latencies under a load that does not depend on response times, and shows where the slowest plays wait. */
export async function* measureOpenLoop({ system, targets, ...load }: OpenLoop) {
  const [target, baseline] = targets
  yield `open loop: plays arrive at random, ${load.perSecond.toLocaleString('en')} per second on average`
  const results = await measure(targets, { connections: [CONNECTIONS], ...load })
  yield toTable(results, { row: baseline.name, heading: 'vs bare' })
  const [own] = results
  if (own) yield `${own.name}: p99 / p50 = ${(own.p99 / own.p50).toFixed(1)}\n`

  await readDelays(system)
  const before = readRunQueues(target)
  yield* measureTogether(targets, load)
  const after = readRunQueues(target)
  const headings = ['', 'delay of the event loop, ms: p50', 'p90', 'p99', 'max', 'ran', 'waited for a CPU']
  const rows = (await readDelays(system)).map(({ process, ms }) => {
    const shares = toShares(before[process], after[process], load.seconds * load.rounds)
    return [process, ...ms.map((value) => value.toFixed(1)), ...shares]
  })
  yield `${alignColumns([headings, ...rows], 0)}\n(ran, waited: share of one core, summed over all threads)\n`
}

type Load = Pick<OpenLoop, 'perSecond' | 'seconds' | 'rounds'>

/**
 * Puts load on both targets at the same time. The baseline's latency shows the delay that a busy machine adds to any
 * response.
 */
async function* measureTogether([target, baseline]: [Target, Target], { perSecond, seconds, rounds }: Load) {
  const pairs: [Round, Round][] = []
  await rampUp({ url: target.url, tokens: target.tokens, connections: CONNECTIONS, perSecond })
  for (let round = 0; round < rounds; round += 1) {
    showProgress(`${target.name} and ${baseline.name}, round ${round + 1} of ${rounds}`)
    pairs.push(
      await Promise.all([
        playFor({ url: target.url, tokens: target.tokens, connections: CONNECTIONS, seconds, perSecond }),
        playFor({ url: baseline.url, seconds, ...BESIDE }),
      ]),
    )
  }
  const p99s = ([0, 1] as const).map((index) => median(pairs.map((pair) => pair[index].p99)))
  const [own = Number.NaN, bare = Number.NaN] = p99s
  const failed = pairs.flat().reduce((sum, round) => sum + round.failed, 0)
  yield `at the same time as ${BESIDE.perSecond} requests/s of ${baseline.name}: p99 ${own.toFixed(2)} and ${bare.toFixed(2)} ms, ratio ${(own / bare).toFixed(1)}, ${failed} failed`
}

/** Reads each service's event-loop delay since the previous call. Node resets the metric at each scrape. */
async function readDelays(system: System) {
  const names = [services.play.name, services.reporting.name, services['queue-listener'].name] as const
  return Promise.all(
    names.map(async (process) => {
      const metrics = await (await fetch(`${system[process].url}/metrics`)).text()
      const ms = ['p50', 'p90', 'p99', 'max'].map((quantile) => {
        const [, seconds] = new RegExp(`^nodejs_eventloop_lag_${quantile}_seconds (.+)$`, 'm').exec(metrics) ?? []
        return Math.max(0, Number(seconds) * 1_000 - RESOLUTION_MS)
      })
      return { process, ms }
    }),
  )
}

function readRunQueues({ pids }: Target): Record<string, RunQueue | undefined> {
  return Object.fromEntries(Object.entries(pids()).map(([process, [pid = 0]]) => [process, readRunQueue(pid)]))
}

/** Returns the time that a process ran and the time that it waited, as shares of a core; empty if unknown. */
function toShares(before: RunQueue | undefined, after: RunQueue | undefined, seconds: number): string[] {
  if (!before || !after) return []
  const toShare = (ms: number) => `${(ms / seconds / 10).toFixed(0)}%`
  return [toShare(after.ranMs - before.ranMs), toShare(after.waitedMs - before.waitedMs)]
}
