import { setTimeout as sleep } from 'node:timers/promises'
import { startChild } from '../../tests/harness/child.ts'
import { metric, warmUp } from '../../tests/harness/plays.ts'
import { startSystem } from '../../tests/harness/system.ts'
import { playSteadily } from './steady.ts'

/**
 * `node scripts/bench/refused.ts [plays per second]` measures the latency of plays at a steady rate. Each round
 * measures it twice: alone, and while another client sends ten times as many plays, which are refused with 429.
 */
const RATE = Number(process.argv[2] ?? 100)
const SECONDS = 10
const ROUNDS = 6

await using system = await startSystem({ TRUSTED_PROXIES: '127.0.0.1', CLIENT_RATE: `${RATE}/1s` })
const { url } = system.play
await warmUp(url)
await measurePlays()
const alone: number[] = []
const loaded: number[] = []
let refusals = 0
for (let round = 0; round < ROUNDS; round += 1) {
  alone.push(...(await measurePlays()))
  const flood = startFlood()
  await sleep(1_500)
  const before = await refused()
  loaded.push(...(await measurePlays()))
  refusals += (await refused()) - before
  await flood.ended
}
const [without, during] = [toPercentiles(alone), toPercentiles(loaded)]
const ratios = { p50: during.p50 / without.p50, p99: during.p99 / without.p99 }
console.log({ refusedPerSecond: refusals / SECONDS / ROUNDS, alone: without, loaded: during, ratios })

/** Measures the durations of plays in milliseconds. The plays come from 200 clients, so none of them is refused. */
async function measurePlays(): Promise<number[]> {
  const clientOf = (n: number) => `203.0.113.${n % 200}`
  const path = `${url}/play/asset/456/user/steady`
  const durations = await playSteadily(path, { perSecond: RATE, seconds: SECONDS, clientOf })
  return durations.get(200) ?? []
}

function toPercentiles(durations: number[]) {
  const ms = durations.toSorted((a, b) => a - b)
  const percentile = (p: number) => ms[Math.floor(p * ms.length)] ?? Number.NaN
  return { p50: percentile(0.5), p99: percentile(0.99) }
}

/**
 * The client's rate limit accepts one request in eleven. The flood runs at low priority, because it competes with the
 * system for CPU time.
 */
function startFlood() {
  const args = [`${url}/play/asset/456/user/flood`, String(11 * RATE), String(SECONDS + 3)]
  return startChild('nice', [process.execPath, 'scripts/bench/flood.ts', ...args])
}

function refused(): Promise<number> {
  return metric(url, /^rate_limited_requests_total{limit="client"}/)
}
