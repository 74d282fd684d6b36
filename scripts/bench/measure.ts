import pidusage from 'pidusage'
import { playFor, type Round } from './load.ts'
import type { Target } from './target.ts'

/** The results of a round, and the CPU time per play in each process, in microseconds. */
type Measured = Round & { cpu: Record<string, number> }

/** One row: medians over the rounds. */
export type Result = Measured & { name: string; connections: number }

type Options = { connections: number[]; seconds: number; rounds: number }

const WARM_UP_CONNECTIONS = 128
const MAX_WARM_UP_SECONDS = 3

/** Alternates between the targets, so that other load on the machine affects all of them equally. */
export async function measure(targets: Target[], { connections, seconds, rounds }: Options): Promise<Result[]> {
  const warmUp = { connections: WARM_UP_CONNECTIONS, seconds: Math.min(seconds, MAX_WARM_UP_SECONDS) }
  for (const { url } of targets) await playFor({ url, ...warmUp })
  const results: Result[] = []
  for (const count of connections) {
    const roundsOf = new Map(targets.map((target): [Target, Measured[]] => [target, []]))
    for (let round = 0; round < rounds; round += 1) {
      for (const [target, measured] of roundsOf) measured.push(await measureRound(target, count, seconds))
    }
    results.push(...[...roundsOf].map(([target, measured]) => toMedians(target, count, measured)))
  }
  return results
}

async function measureRound({ url, pids }: Target, connections: number, seconds: number): Promise<Measured> {
  const before = await cpuOf(pids)
  const round = await playFor({ url, connections, seconds })
  const after = await cpuOf(pids)
  const plays = round.perSecond * seconds
  const cpu = Object.fromEntries(
    Object.keys(pids).map((process) => [process, ((Number(after[process]) - Number(before[process])) * 1_000) / plays]),
  )
  return { ...round, cpu }
}

/** The CPU time so far, in milliseconds, of the processes of each column. */
async function cpuOf(pids: Target['pids']): Promise<Record<string, number>> {
  const usage = await pidusage(Object.values(pids).flat())
  const timeOf = (pid: number) => usage[pid]?.ctime ?? Number.NaN
  return Object.fromEntries(
    Object.entries(pids).map(([name, own]) => [name, own.reduce((sum, pid) => sum + timeOf(pid), 0)]),
  )
}

function toMedians({ name, pids }: Target, connections: number, rounds: Measured[]): Result {
  const medianOf = (value: (round: Measured) => number) => median(rounds.map(value))
  return {
    name,
    connections,
    perSecond: medianOf(({ perSecond }) => perSecond),
    p50: medianOf(({ p50 }) => p50),
    p99: medianOf(({ p99 }) => p99),
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
    cpu: Object.fromEntries(Object.keys(pids).map((process) => [process, medianOf(({ cpu }) => Number(cpu[process]))])),
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
