import { services } from '../../services.ts'
import type { System } from '../../tests/harness/system.ts'
import { measure } from './measure.ts'
import { alignColumns, toTable } from './table.ts'
import type { Target } from './target.ts'

/** Each waits so long between its plays that a slow response delays almost none: independent users, an open loop. */
const CONNECTIONS = 256

/** The interval at which Node samples the delay of an event loop, which is part of each sample. */
const RESOLUTION_MS = 10

type OpenLoop = {
  system: System
  /** The system, and what it is compared with at the same load. */
  targets: [Target, Target]
  perSecond: number
  seconds: number
  rounds: number
}

/** Measures latencies at a load that does not depend on the responses, and where the slowest plays wait. */
export async function* measureOpenLoop({ system, targets, perSecond, seconds, rounds }: OpenLoop) {
  const [{ name }, baseline] = targets
  yield `open loop: plays arrive at random, ${perSecond.toLocaleString('en')} per second on average`
  await readDelays(system)
  const results = await measure(targets, { connections: [CONNECTIONS], seconds, rounds, perSecond })
  const delays = await readDelays(system)
  yield toTable(results, { row: baseline.name, heading: 'vs bare' })
  const [own, bare] = results
  if (own && bare) {
    yield `${name}: p99 / p50 = ${(own.p99 / own.p50).toFixed(1)}, p99 / p99 of ${bare.name} = ${(own.p99 / bare.p99).toFixed(1)}`
  }
  const rows = delays.map(({ process, ms }) => [process, ...ms.map((value) => value.toFixed(1))])
  yield `${alignColumns([['event-loop delay, ms', 'p50', 'p90', 'p99', 'max'], ...rows], 0)}\n`
}

/** The delay of each event loop since the previous call: Node's metrics are those since the last scrape. */
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
