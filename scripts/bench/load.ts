import { execFile, spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import autocannon from 'autocannon'
import { z } from 'zod'

const run = promisify(execFile)

/** As in plays.lua, each play has a random asset, `bench-0` to `bench-99`, and a random user, `u0` to `u9999`. */
export const ASSETS = 100
const USERS = 10_000

/** The results of one round of load. Latencies are in milliseconds. */
export const Round = z.object({
  perSecond: z.number(),
  p50: z.number(),
  p99: z.number(),
  /** The number of non-2xx responses, plus the number of requests without a response. */
  failed: z.number(),
})
export type Round = z.infer<typeof Round>

type Load = {
  url: string
  connections: number
  seconds: number
  /** The path of a file with users to play as, one `user token` per line. */
  tokens?: string | undefined
  /** If set, the load is an open loop with this rate, in plays per second over all connections. Needs wrk. */
  perSecond?: number | undefined
}

export const hasWrk = spawnSync('wrk', ['-v']).error === undefined

/** The load generator. Printed with the results, because it competes with the system for CPU time. */
export const loadGenerator = hasWrk ? 'wrk' : 'autocannon (latencies in whole milliseconds)'

/** By default, runs a closed loop: each connection sends its next play after the response to the previous one. */
export const playFor: (load: Load) => Promise<Round> = hasWrk ? playByWrk : playByAutocannon

async function playByWrk({ url, connections, seconds, tokens, perSecond }: Load): Promise<Round> {
  const args = ['--threads', '1', '--connections', String(connections), '--duration', `${seconds}s`, '--timeout', '10s']
  const delay = perSecond && { DELAY_MS: String((connections * 1_000) / perSecond) }
  const env = { ...process.env, ...(tokens && { TOKENS: tokens }), ...delay }
  const { stdout } = await run('wrk', [...args, '--script', 'scripts/bench/plays.lua', url], { env })
  return Round.parse(JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')) ?? ''))
}

async function playByAutocannon({ url, connections, seconds, tokens }: Load): Promise<Round> {
  const users = tokens === undefined ? undefined : (await readFile(tokens, 'utf8')).split('\n')
  const setupRequest = (request: autocannon.Request) => ({ ...request, ...randomPlay(users) })
  const result = await autocannon({ url, connections, duration: seconds, requests: [{ method: 'POST', setupRequest }] })
  return {
    perSecond: result.requests.total / result.duration,
    p50: result.latency.p50,
    p99: result.latency.p99,
    failed: result.non2xx + result.errors,
  }
}

function randomPlay(users: string[] | undefined): autocannon.Request {
  const draw = (count: number) => Math.floor(Math.random() * count)
  const [user, token] = users?.[draw(users.length)]?.split(' ') ?? [`u${draw(USERS)}`]
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return { path: `/play/asset/bench-${draw(ASSETS)}/user/${user}`, headers }
}
