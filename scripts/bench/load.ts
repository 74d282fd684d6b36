import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import autocannon from 'autocannon'
import { z } from 'zod'

const run = promisify(execFile)

/** Plays are drawn from assets `bench-0` to `bench-99` and users `u0` to `u9999`, as in plays.lua. */
export const ASSETS = 100
const USERS = 10_000

/** The results of one round of load. Latencies are in milliseconds. */
export const Round = z.object({
  perSecond: z.number(),
  p50: z.number(),
  p99: z.number(),
  /** Responses other than 2xx, and requests without a response. */
  failed: z.number(),
})
export type Round = z.infer<typeof Round>

type Load = { url: string; connections: number; seconds: number }

const hasWrk = spawnSync('wrk', ['-v']).error === undefined

/** The load generator. Printed with the results, because it competes with the system for CPU time. */
export const loadGenerator = hasWrk ? 'wrk' : 'autocannon (latencies in whole milliseconds)'

/** Closed-loop load: each connection sends its next play after the response to the previous one. */
export const playFor: (load: Load) => Promise<Round> = hasWrk ? playByWrk : playByAutocannon

async function playByWrk({ url, connections, seconds }: Load): Promise<Round> {
  const { stdout } = await run('wrk', [
    ...['--threads', '1', '--connections', String(connections), '--duration', `${seconds}s`, '--timeout', '10s'],
    ...['--script', 'scripts/bench/plays.lua', url],
  ])
  return Round.parse(JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')) ?? ''))
}

async function playByAutocannon({ url, connections, seconds }: Load): Promise<Round> {
  const setupRequest = (request: autocannon.Request) => ({ ...request, path: randomPath() })
  const result = await autocannon({ url, connections, duration: seconds, requests: [{ method: 'POST', setupRequest }] })
  return {
    perSecond: result.requests.total / result.duration,
    p50: result.latency.p50,
    p99: result.latency.p99,
    failed: result.non2xx + result.errors,
  }
}

function randomPath(): string {
  const draw = (count: number) => Math.floor(Math.random() * count)
  return `/play/asset/bench-${draw(ASSETS)}/user/u${draw(USERS)}`
}
