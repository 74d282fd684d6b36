import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLog } from '../../shared/runtime/log.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { hasPostgres, type PostgresServer, startPostgres } from '../../tests/harness/postgres.ts'
import type { CountStore } from '../count-store.ts'
import { createCountState } from '../maps/count-state.ts'
import { createMapCountStore } from '../maps/map-count-store.ts'
import { copyCounts } from './copy.ts'
import { openPostgresCountStore } from './postgres-count-store.ts'
import { toDatabaseUrl } from './settings.ts'

const log = createLog({ name: 'reporting', level: 'silent' })
const DAY_MS = 86_400_000
const START = Date.parse('2026-11-20T21:00:00Z')

describe.skipIf(!hasPostgres)('the series in Postgres', () => {
  let server: PostgresServer
  beforeAll(async () => {
    server = await startPostgres()
  })
  afterAll(() => server?.[Symbol.asyncDispose]())

  async function openStore(url: string) {
    const store = openPostgresCountStore({ urls: [toDatabaseUrl(url)], maxConnections: 2, log })
    await eventually(() => {
      if (store.state() !== 'up') throw new Error(store.reason())
    })
    return store
  }

  const rowsOf = (url: string) =>
    server.use(url, async (client) => {
      const { rows } = await client.query<{ step: string; rows: number }>(
        'select step, count(*)::int as rows from reporting.series group by step',
      )
      return Object.fromEntries(rows.map(({ step, rows }) => [step, rows]))
    })

  test('drop minutes and hours past their retention, but never days', async () => {
    const url = await server.createDatabase()
    await using store = await openStore(url)
    await playAt(store, [START, START + 60_000, START + 3_600_000])
    expect(await rowsOf(url)).toEqual({ m: 3, h: 4, d: 2 })
    await playAt(store, [START + 34 * DAY_MS, START + 37 * DAY_MS])
    await eventually(async () => expect(await rowsOf(url)).toEqual({ m: 1, h: 4, d: 6 }))
  })

  test('report the same start of per-asset counts as the in-memory series that they were copied from', async () => {
    const state = createCountState({ kept: { verdicts: 10, keys: 10, series: 2 } })
    const maps = createMapCountStore({ state })
    for (let day = 0; day < 4; day += 1) await playAt(maps, [START + day * DAY_MS])
    const url = await server.createDatabase()
    await copyCounts(state, { urls: [toDatabaseUrl(url)], onProgress: () => {} })
    await using store = await openStore(url)
    for (const step of ['hour', 'day'] as const) {
      for (const assetId of ['a', undefined]) {
        const range = { step, assetId, from: START - DAY_MS, to: START + 5 * DAY_MS }
        expect(await store.series(range)).toEqual(await maps.series(range))
      }
    }
    const { since } = await store.series({ step: 'day', assetId: 'a', from: START, to: START + 1 })
    expect(since).toBe(Date.parse('2026-11-22T00:00:00Z'))
  })
})

/** Applies one message per play. The log stores each message at the time of its play. */
async function playAt(store: CountStore, times: number[]): Promise<void> {
  let after = (await store.position())?.sequence ?? 0
  for (const time of times) {
    const at = new Date(time).toISOString()
    const messages = [{ sequence: after + 1, views: 1, at }]
    const views = [{ id: `view-${after}`, assetId: 'a', userId: 'u', at }]
    await store.apply({ incarnation: 'log', after, through: after + 1, views, messages })
    after += 1
  }
}
