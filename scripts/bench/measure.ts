import pidusage from 'pidusage'
import { playFor, type Round } from './load.ts'
import type { Target } from './target.ts'

/** One row: medians over the rounds, and CPU microseconds per play in each process. */
export type Result = Round & { name: string; connections: number; cpu: Record<string, number> }

type Options = { connections: number[]; seconds: number; rounds: number }

const WARM_UP_CONNECTIONS = 128
const MAX_WARM_UP_SECONDS = 3

/** Alternates between the targets, so that other load on the machine affects all of them equally. */
export async function measure(targets: Target[], { connections, seconds, rounds }: Options): Promise<Result[]> {
  const warmUp = { connections: WARM_UP_CONNECTIONS, seconds: Math.min(seconds, MAX_WARM_UP_SECONDS) }
  for (const { url } of targets) await playFor({ url, ...warmUp })
  const results: Result[] = []
  for (const count of connections) {
    const roundsOf = new Map(targets.map((target): [Target, Result[]] => [target, []]))
    for (let round = 0; round < rounds; round += 1) {
      for (const [target, measured] of roundsOf) measured.push(await measureRound(target, count, seconds))
    }
    results.push(...[...roundsOf.values()].map(toMedians))
  }
  return results
}

async function measureRound({ name, url, pids }: Target, connections: number, seconds: number): Promise<Result> {
  const before = await cpuOf(pids)
  const round = await playFor({ url, connections, seconds })
  const after = await cpuOf(pids)
  const plays = round.perSecond * seconds
  const cpu = Object.fromEntries(
    Object.keys(pids).map((process) => [process, ((Number(after[process]) - Number(before[process])) * 1_000) / plays]),
  )
  return { ...round, name, connections, cpu }
}

/** The CPU time of each process so far, in milliseconds. */
async function cpuOf(pids: Target['pids']): Promise<Record<string, number>> {
  const usage = await pidusage(Object.values(pids))
  return Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, usage[pid]?.ctime ?? Number.NaN]))
}

function toMedians(rounds: Result[]): Result {
  const [first] = rounds as [Result]
  const medianOf = (value: (round: Result) => number) => median(rounds.map(value))
  return {
    name: first.name,
    connections: first.connections,
    perSecond: medianOf(({ perSecond }) => perSecond),
    p50: medianOf(({ p50 }) => p50),
    p99: medianOf(({ p99 }) => p99),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
    cpu: Object.fromEntries(Object.keys(first.cpu).map((name) => [name, medianOf(({ cpu }) => Number(cpu[name]))])),
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number
}
