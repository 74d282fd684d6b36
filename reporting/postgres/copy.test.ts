import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { View } from '../../shared/contracts/view.ts'
import { PAGE_RECORDS } from '../../shared/records/record-page.ts'
import { createLog } from '../../shared/runtime/log.ts'
import { eventually } from '../../tests/harness/eventually.ts'
import { hasPostgres, type PostgresServer, startPostgres } from '../../tests/harness/postgres.ts'
import type { CountBatch, CountStore } from '../count-store.ts'
import { createCountState } from '../maps/count-state.ts'
import { createMapCountStore } from '../maps/map-count-store.ts'
import type { SeriesRange } from '../series.ts'
import { copyCounts } from './copy.ts'
import { openPostgresCountStore } from './postgres-count-store.ts'
import { toDatabaseUrl } from './settings.ts'

const log = createLog({ name: 'reporting', level: 'silent' })
const fields = { assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00Z' }
const onProgress = () => {}
const DAY_MS = 86_400_000

const view: fc.Arbitrary<View> = fc
  .record({
    id: fc.constantFrom('x', 'y', 'z', '\ud800', '\udbff'),
    producer: fc.constantFrom('p', 'q', '\ud800 "€"'),
    serial: fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined }),
    userId: fc.constantFrom('u', 'v', 'constructor'),
    second: fc.integer({ min: 0, max: 59 }),
  })
  .map(({ second, ...given }) => ({ ...fields, ...given, at: `2026-11-20T21:00:${String(second).padStart(2, '0')}Z` }))
const keyed: View = { ...fields, id: 'keyed', keyed: true }
const batches = fc
  .array(fc.record({ views: fc.array(view, { maxLength: 6 }), expired: fc.constantFrom(0, 3, 1_000) }), {
    minLength: 2,
    maxLength: 20,
  })
  .map((steps) =>
    steps.map(({ views, expired }, after): CountBatch => {
      const skipped = [{ sequence: after + 1, ids: ['dead'] }]
      const first = Math.max(1, after - expired)
      return { incarnation: 'log', after, through: after + 1, views: [...views, keyed], skipped, first }
    }),
  )

describe.skipIf(!hasPostgres)('counts copied into Postgres', () => {
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

  test('behave like in-memory counts, and detect the same duplicates and gaps', async () => {
    await fc.assert(
      fc.asyncProperty(batches, fc.nat(19), async (all, length) => {
        const state = createCountState()
        const maps = createMapCountStore({ state })
        for (const batch of all.slice(0, length)) await maps.apply(batch)
        await maps.count({ assetId: 'direct', userId: 'direct' })
        const url = await server.createDatabase()
        expect(await copyCounts(state, { urls: [toDatabaseUrl(url)], onProgress })).toBe(true)
        await using store = await openStore(url)
        expect(await contentOf(store)).toEqual(await contentOf(maps))
        for (const batch of all.slice(length)) expect(await store.apply(batch)).toEqual(await maps.apply(batch))
        expect(await contentOf(store)).toEqual(await contentOf(maps))
      }),
      { numRuns: 8 },
    )
  })

  test('still detect duplicates, and accept any first serial once messages have expired', async () => {
    const state = createCountState()
    const first = { ...fields, id: 'x', producer: 'p' }
    const views = [{ ...first, serial: 1 }, { ...first, serial: 2 }, first]
    await createMapCountStore({ state }).apply({ incarnation: 'log', after: 0, through: 9, views, first: 5 })
    const url = await server.createDatabase()
    await copyCounts(state, { urls: [toDatabaseUrl(url)], onProgress })
    await using store = await openStore(url)
    const late = { ...fields, id: 'y', producer: 'late', serial: 7 }
    const next = {
      incarnation: 'log',
      after: 9,
      through: 10,
      first: 5,
      views: [...views, late, { ...first, serial: 4 }],
    }
    expect(await store.apply(next)).toMatchObject({
      views: [{ serial: 7 }, { serial: 4 }],
      duplicates: 3,
      gaps: [{ producer: 'p', from: 3, to: 3 }],
    })
  })

  test('have their own store id and the same top list, even after another user overtakes the last entry', async () => {
    const state = createCountState()
    const maps = createMapCountStore({ state })
    const users = Array.from({ length: 1_500 }, (_, n) => `user-${n % 1_100}`)
    const views = users.map((userId, n) => ({ ...fields, userId, id: 'x', producer: 'p', serial: n + 1 }))
    await maps.apply({ incarnation: 'log', after: 0, through: 1, views })
    const url = await server.createDatabase()
    await copyCounts(state, { urls: ['postgres://postgres@127.0.0.1:1/none', url].map(toDatabaseUrl), onProgress })
    await using store = await openStore(url)
    expect(await contentOf(store)).toEqual(await contentOf(maps))
    expect(store.id()).not.toBe(maps.id())
    for (const counts of [store, maps]) {
      for (const userId of ['user-999', 'user-998', 'user-999', 'new']) await counts.count({ assetId: 'a', userId })
    }
    expect(await contentOf(store)).toEqual(await contentOf(maps))
  })

  test('keep the estimate for an asset with many viewers, and returning viewers do not raise it', async () => {
    const state = createCountState()
    const maps = createMapCountStore({ state })
    const users = Array.from({ length: 1_500 }, (_, n) => `user-${n}`)
    const toBatch = (after: number) => {
      const views = users.map((userId, n) => ({ ...fields, userId, id: `${after}-${n}` }))
      return { incarnation: 'log', after, through: after + 1, views }
    }
    await maps.apply(toBatch(0))
    const url = await server.createDatabase()
    await copyCounts(state, { urls: [toDatabaseUrl(url)], onProgress })
    await using store = await openStore(url)
    const copied = await maps.counts('asset', 'a')
    await store.apply(toBatch(1))
    expect(await store.counts('asset', 'a')).toMatchObject({ views: 3_000, qualified: copied?.qualified })
    const viewers = (await store.counts('asset', 'a'))?.viewers ?? 0
    expect(viewers).toBe(Math.max(copied?.viewers ?? 0, users.length))
  })

  test("include a dead letter from before the first view, and a partition for each verdict's day", async () => {
    const state = createCountState()
    const maps = createMapCountStore({ state })
    const [old, now] = [Date.now() - 2 * DAY_MS, Date.now()].map((time) => new Date(time).toISOString())
    const skipped = [{ sequence: 1, ids: ['dead'] }]
    await maps.apply({ incarnation: 'log', after: 0, through: 1, views: [], skipped })
    // The verdicts are copied in pages. Today's partition is needed only after the page with the dead letter.
    for (const [after, at, length] of [
      [1, old, PAGE_RECORDS],
      [2, now, 1],
    ] as const) {
      const through = after + 1
      const views = Array.from({ length }, (_, n) => ({ ...fields, at: at ?? '', id: `${after}-${n}`, userId: `${n}` }))
      const messages = [{ sequence: through, views: length, at: at ?? '' }]
      await maps.apply({ incarnation: 'log', after, through, views, messages })
    }
    const url = await server.createDatabase()
    expect(await copyCounts(state, { urls: [toDatabaseUrl(url)], onProgress })).toBe(true)
    await server.use(url, async (client) => {
      expect((await client.query('select from reporting.verdict')).rowCount).toBe(PAGE_RECORDS + 2)
      expect((await client.query('select from reporting.verdict_default')).rowCount).toBe(0)
    })
    await using store = await openStore(url)
    expect(await store.explain('dead')).toEqual(await maps.explain('dead'))
  })

  test('are rejected if they lack the most recent verdicts, which are needed to detect repeats', async () => {
    const toBatch = (after: number, ids: string[], minute: number) => {
      const at = `2026-11-20T21:0${minute}:00Z`
      return { incarnation: 'log', after, through: after + 1, views: ids.map((id) => ({ ...fields, at, id })) }
    }
    const state = createCountState({ kept: { verdicts: 0, keys: 1 } })
    await createMapCountStore({ state }).apply(toBatch(0, ['x', 'y'], 0))
    const url = await server.createDatabase()
    await expect(copyCounts(state, { urls: [toDatabaseUrl(url)], onProgress })).rejects.toThrow(
      'lacks verdicts that the view rules need (it has 0 of 2): set VERDICTS_KEPT to at least 2, run reporting until it has counted views for 30 s, and copy again',
    )
    // The same counts after a restart with a larger VERDICTS_KEPT.
    const raised = { ...state, verdicts: createCountState().verdicts }
    const maps = createMapCountStore({ state: raised })
    await maps.apply(toBatch(1, ['z'], 1))
    expect(await copyCounts(raised, { urls: [toDatabaseUrl(url)], onProgress })).toBe(true)
    await using store = await openStore(url)
    const repeat = toBatch(2, ['repeat'], 1)
    expect((await store.apply(repeat))?.views).toMatchObject([{ verdict: 'not-qualified' }])
  })

  test('do not replace other counts, and are not copied twice', async () => {
    const [first, second] = [createCountState(), createCountState()]
    for (const state of [first, second]) await createMapCountStore({ state }).count(fields)
    await createMapCountStore({ state: second }).count(fields)
    const urls = [toDatabaseUrl(await server.createDatabase())]
    expect(await copyCounts(first, { urls, onProgress })).toBe(true)
    expect(await copyCounts(first, { urls, onProgress })).toBe(false)
    await expect(copyCounts(second, { urls, onProgress })).rejects.toThrow(
      'the database already has counts (total views: 1; none of them from a log)',
    )
  })
})

async function seriesOf(counts: CountStore) {
  const range = { assetId: 'a', from: Date.parse('2026-11-19T00:00:00Z'), to: Date.parse('2026-11-22T00:00:00Z') }
  const read = (range: SeriesRange) => counts.series(range)
  return Promise.all([read({ ...range, step: 'hour' }), read({ ...range, step: 'day', assetId: undefined })])
}

async function contentOf(counts: CountStore) {
  return {
    position: await counts.position(),
    lost: await counts.lost(),
    users: await counts.top('user', 'views', 1_000),
    assets: await counts.top('asset', 'views', 1_000),
    qualified: [await counts.top('user', 'qualified', 1_000), await counts.top('asset', 'qualified', 1_000)],
    audit: await counts.audit(),
    knownSince: await counts.knownSince(),
    explained: await Promise.all(['x', 'y', 'z', '\ud800', 'keyed', 'dead'].map((id) => counts.explain(id))),
    keyed: (await counts.lookUp({ assets: [], users: [], events: ['keyed'], details: true })).events,
    sizes: [await counts.size('user'), await counts.size('asset')],
    series: await seriesOf(counts),
  }
}
