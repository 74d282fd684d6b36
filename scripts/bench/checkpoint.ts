import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import { jsonRequest } from '../../shared/testing/json-request.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { metric } from '../../tests/harness/plays.ts'
import { type ServiceProcess, startService } from '../../tests/harness/service-process.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { runCommand } from '../command.ts'

const usage = `Usage: node scripts/bench/checkpoint.ts [--users 1000000] [--views 10000000]

Counts views in a separate instance of reporting, and measures its checkpoints: their size, how long a write takes, the
latency of reads during a write, and how long reporting takes to start and serve the counts.`

const VIEWS_PER_BATCH = 10_000
const LOOKED_UP = 60
/** The number of checkpoint writes to observe. */
const WRITES = 2
const TIMEOUT_MS = 120_000

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

const options = {
  users: { type: 'string', default: '1000000' },
  views: { type: 'string', default: '10000000' },
} as const

await runCommand({ name: 'node scripts/bench/checkpoint.ts', usage, options }, async (values) => {
  const users = toCount('users', values.users)
  const views = toCount('views', values.views)
  await using directory = await createTempDirectory('bench-checkpoint')
  const settings = { DATA_DIR: directory.path, CHECKPOINT_EVERY: '1s', FED_BY_LOG: '1' }
  await using reporting = await startService('reporting', settings)
  const log = createLog(reporting, users)
  while (log.end() < views) await log.append(VIEWS_PER_BATCH)
  print(`${text(views)} views of ${text(users)} users, Node ${process.versions.node}`)

  const latencies = await measureReads(log, join(directory.path, 'checkpoint-reporting.tmp'))
  const bytes = await metric(reporting.url, /^checkpoint_bytes/)
  const seconds = await metric(reporting.url, /^checkpoint_write_seconds/)
  print(
    `checkpoint: ${text(bytes / 1e6)} MB, ${(bytes / users).toFixed(1)} bytes per user, written in ${seconds.toFixed(2)} s`,
  )
  print(`reads of ${LOOKED_UP} counts during a write: ${summarize(latencies.during)}`)
  print(`reads of ${LOOKED_UP} counts between writes: ${summarize(latencies.between)}`)

  await eventually(() => expectSaved(reporting), TIMEOUT_MS)
  await reporting.signal('SIGTERM')
  const startedAt = performance.now()
  await reporting.start()
  await eventually(() => log.verify(), TIMEOUT_MS)
  print(`start of reporting until it serves correct counts: ${((performance.now() - startedAt) / 1_000).toFixed(2)} s`)
})

/** Stands in for queue-listener: posts a log of views to reporting, one view by each user in turn. */
function createLog({ url }: ServiceProcess, users: number) {
  let end = 0
  const userId = (n: number) => `user-${n % users}@example.com`
  const post = async (path: string, body: object) => {
    const response = await fetch(url + path, jsonRequest(body))
    if (response.status !== 200) throw new Error(`${path} returned ${response.status}`)
    return response.json()
  }
  return {
    end: () => end,
    async append(count: number) {
      const at = new Date().toISOString()
      const views = Array.from({ length: count }, (_, n) => {
        return { id: `${end + n}`, assetId: `asset-${(end + n) % 5_000}`, userId: userId(end + n), at }
      })
      const through = end + count
      await post('/events', { stream: 'bench', after: end, through, views, end: through })
      end = through
    },
    look: () =>
      post('/events/lookup', { assets: [], users: Array.from({ length: LOOKED_UP }, (_, n) => userId(n * 997)) }),
    /** Reports the end of the log, and checks the counts of the first and last user. */
    async verify() {
      const position = (await post('/events', { stream: 'bench', after: end, through: end, views: [], end })) as {
        sequence: number
      }
      if (position?.sequence !== end) throw new Error('the position is wrong')
      const { users: counts } = (await post('/events/lookup', { assets: [], users: [userId(0), userId(end - 1)] })) as {
        users: Record<string, number>
      }
      const expected = [Math.ceil(end / users), Math.ceil((end - ((end - 1) % users)) / users)]
      if (Object.values(counts).join() !== expected.join()) throw new Error(`the counts are ${JSON.stringify(counts)}`)
    },
  }
}

/** Reads counts sequentially while reporting counts views, until reporting has written `WRITES` checkpoints. */
async function measureReads(log: ReturnType<typeof createLog>, temporary: string) {
  const finished = new AbortController()
  const appending = (async () => {
    while (!finished.signal.aborted) {
      await log.append(100)
      await sleep(20)
    }
  })()
  const during: number[] = []
  const between: number[] = []
  for (let writes = 0, wasWriting = existsSync(temporary); writes < WRITES; ) {
    const startedAt = performance.now()
    await log.look()
    const ms = performance.now() - startedAt
    // Not timed, because this call takes over 100 ms while reporting renames the file.
    const isWriting = existsSync(temporary)
    const target = isWriting || wasWriting ? during : between
    target.push(ms)
    if (wasWriting && !isWriting) writes += 1
    wasWriting = isWriting
    await sleep(1)
  }
  finished.abort()
  await appending
  return { during, between }
}

/** Throws until the counts are saved. On shutdown, reporting would abandon a write that takes too long. */
async function expectSaved({ url }: ServiceProcess): Promise<void> {
  if ((await metric(url, /^checkpoint_age_seconds/)) > 0) throw new Error('the counts are not saved')
}

function summarize(ms: number[]): string {
  const sorted = ms.toSorted((a, b) => a - b)
  const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1)
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms (${text(ms.length)} reads)`
}

function toCount(name: string, value: string): number {
  if (!/^[1-9]\d{3,8}$/.test(value))
    throw new UsageError(`--${name} is "${value}": it must be a whole number, at least 1000`)
  return Number(value)
}

function text(value: number): string {
  return Math.round(value).toLocaleString('en')
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
