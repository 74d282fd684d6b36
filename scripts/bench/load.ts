import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import autocannon from 'autocannon'
import { z } from 'zod'

const run = promisify(execFile)

/** What plays are drawn from: assets `bench-0` to `bench-99`, users `u0` to `u9999`. Said again in plays.lua. */
export const ASSETS = 100
const USERS = 10_000

/** What one round of load found. Latencies are in milliseconds. */
export const Round = z.object({
  perSecond: z.number(),
  p50: z.number(),
  p99: z.number(),
  /** Answers other than 2xx, and requests that were cut off. */
  failed: z.number(),
})
export type Round = z.infer<typeof Round>

type Load = { url: string; connections: number; seconds: number }

const hasWrk = spawnSync('wrk', ['-v']).error === undefined

/** What makes the load, named in the table: the load generator shares the machine, so its price matters. */
export const loader = hasWrk ? 'wrk' : 'autocannon (latencies in whole milliseconds)'

/** Plays assets at an edge over so many connections, each of which sends its next play once the last was answered. */
export const playFor: (load: Load) => Promise<Round> = hasWrk ? playByWrk : playByAutocannon

async function playByWrk({ url, connections, seconds }: Load): Promise<Round> {
  const { stdout } = await run('wrk', [
    ...['--threads', '1', '--connections', String(connections), '--duration', `${seconds}s`, '--timeout', '10s'],
    ...['--script', 'scripts/bench/plays.lua', url],
  ])
  return Round.parse(JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')) ?? ''))
}

async function playByAutocannon({ url, connections, seconds }: Load): Promise<Round> {
  const setupRequest = (request: autocannon.Request) => ({ ...request, path: pathOfPlay() })
  const result = await autocannon({ url, connections, duration: seconds, requests: [{ method: 'POST', setupRequest }] })
  return {
    perSecond: result.requests.total / result.duration,
    p50: result.latency.p50,
    p99: result.latency.p99,
    failed: result.non2xx + result.errors,
  }
}

function pathOfPlay(): string {
  const draw = (count: number) => Math.floor(Math.random() * count)
  return `/play/asset/bench-${draw(ASSETS)}/user/u${draw(USERS)}`
}
