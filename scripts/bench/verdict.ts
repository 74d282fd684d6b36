import type { Client } from 'pg'
import { createPartition, toDay } from '../../reporting/postgres/partitions.ts'
import { jsonRequest } from '../../shared/testing/json-request.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { startPostgres } from '../../tests/harness/postgres.ts'
import { startService } from '../../tests/harness/service-process.ts'

/**
 * `node scripts/bench/verdict.ts [rows]` fills Postgres with verdicts from the last 30 days, and measures the latency
 * of sequential `GET /events/views/:id` requests for random ids: version 7 UUIDs, which contain a timestamp, and
 * version 4 UUIDs.
 */
const ROWS = Number(process.argv[2] ?? 10_000_000)
const DAYS = 30
const DAY_MS = 86_400_000
const READS = 1_000

await using postgres = await startPostgres()
const connectionString = await postgres.createDatabase()
await using reporting = await startService('reporting', { DATABASE_URL: connectionString })
await eventually(async () => {
  const views = [{ id: 'first', assetId: 'a', userId: 'u', at: new Date().toISOString() }]
  const { ok } = await fetch(`${reporting.url}/events`, jsonRequest({ stream: 'bench', after: 0, through: 1, views }))
  if (!ok) throw new Error('reporting is not ready')
})
await postgres.use(connectionString, async (client) => {
  const first = toDay(Date.now()) - (DAYS - 1) * DAY_MS
  for (let day = 0; day < DAYS; day += 1) await fillDay(client, first + day * DAY_MS)
  await client.query('analyze reporting.verdict')
  console.log((await client.query('select count(*) from reporting.verdict')).rows[0].count, 'verdicts')
  for (const version of [7, 4]) console.log(`version ${version} UUID:`, await measureReads(client, version))
})

/** Half of the ids are version 7 UUIDs. */
async function fillDay(client: Client, day: number): Promise<void> {
  await client.query(createPartition(day))
  await client.query(`insert into reporting.verdict
    select clock, clock, n, (select max(origin) from reporting.verdict_origin), 0, 'q', (case when n % 2 = 0
      then lpad(to_hex(clock), 12, '0') || '7' else substr(md5(n || 'x' || clock), 1, 12) || '4' end
      || substr(md5(n || '-' || clock), 1, 19))::uuid, '', 'asset-' || n % 1000, 'user-' || n % 100000, '', ''
    from (select n, (${day} + n * ${DAY_MS}::bigint / ${Math.ceil(ROWS / DAYS)})::bigint as clock
      from generate_series(0, ${Math.ceil(ROWS / DAYS) - 1}) n) numbered`)
}

async function measureReads(client: Client, version: number) {
  const { rows } = await client.query(
    `select key from reporting.verdict tablesample system (0.1) where substr(key::text, 15, 1) = '${version}'
      order by random() limit ${READS}`,
  )
  const ms: number[] = []
  for (const { key } of rows) {
    const sentAt = performance.now()
    const response = await fetch(`${reporting.url}/events/views/${key}`)
    const { state } = (await response.json()) as { state: string }
    if (state !== 'counted') throw new Error(`${key} is ${state}`)
    ms.push(performance.now() - sentAt)
  }
  const sorted = ms.toSorted((a, b) => a - b)
  const at = (part: number) => Number((sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN).toFixed(2))
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}
