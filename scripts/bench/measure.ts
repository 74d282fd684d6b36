import pidusage from 'pidusage'
import { playFor, type Round } from './load.ts'
import { showProgress } from './output.ts'
import type { Target } from './target.ts'

/** The results of a round, and the CPU time per play in each process, in microseconds. */
type Measured = Round & { cpu: Record<string, number> }

/** A row of the table: the medians over the rounds. */
export type Result = Measured & { name: string; connections: number }

export type Load = {
  connections: number[]
  seconds: number
  rounds: number
  /** Open loop: the plays per second. */
  perSecond?: number
}

const WARM_UP_CONNECTIONS = 128
const MAX_WARM_UP_SECONDS = 3
const RAMP_UP_SECONDS = 1

/** Puts load on each target, so that V8 compiles the hot code and the caches are warm. */
export async function warmUp(targets: Target[], { seconds }: Pick<Load, 'seconds'>): Promise<void> {
  const load = { connections: WARM_UP_CONNECTIONS, seconds: Math.min(seconds, MAX_WARM_UP_SECONDS) }
  for (const { name, url, tokens } of targets) {
    showProgress(`warm-up: ${name}`)
    await playFor({ url, tokens, ...load })
  }
}

/** Alternates between the targets, so that other load on the machine affects all of them equally. */
export async function measure(targets: Target[], load: Load): Promise<Result[]> {
  const { connections, rounds } = load
  const results: Result[] = []
  for (const count of connections) {
    const roundsOf = new Map(targets.map((target): [Target, Measured[]] => [target, []]))
    for (let round = 0; round < rounds; round += 1) {
      for (const [target, measured] of roundsOf) {
        showProgress(`${count} connections, round ${round + 1} of ${rounds}: ${target.name}`)
        measured.push(await measureRound(target, { ...load, connections: count }))
      }
    }
    results.push(...[...roundsOf].map(([target, measured]) => toMedians(target, count, measured)))
  }
  return results
}

type RoundLoad = Omit<Load, 'connections'> & { connections: number }

async function measureRound(
  { url, pids, tokens }: Target,
  { connections, seconds, perSecond }: RoundLoad,
): Promise<Measured> {
  if (perSecond !== undefined) await rampUp({ url, tokens, connections, perSecond })
  const before = await cpuOf(pids())
  const round = await playFor({ url, tokens, connections, seconds, perSecond })
  const after = await cpuOf(pids())
  const plays = round.perSecond * seconds
  const cpu = Object.fromEntries(
    Object.entries(after).map(([process, ms]) => [process, ((ms - (before[process] ?? 0)) * 1_000) / plays]),
  )
  return { ...round, cpu }
}

/**
 * Brings a target back to the steady state after it was idle: for example, its cached assets have expired. Otherwise,
 * the first plays would determine the 99th percentile.
 */
export async function rampUp(load: Omit<Parameters<typeof playFor>[0], 'seconds'>): Promise<void> {
  await playFor({ ...load, seconds: RAMP_UP_SECONDS })
}

/** Returns the CPU time that the processes in each column have used so far, in milliseconds. */
export async function cpuOf(pids: Record<string, number[]>): Promise<Record<string, number>> {
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
    cpu: Object.fromEntries(
      Object.keys(pids()).map((process) => [process, medianOf(({ cpu }) => Number(cpu[process]))]),
    ),
  }
}

/** Returns the middle value, or the upper of the two middle values if the number of values is even. */
export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
