import { describe, expect, test } from 'vitest'
import type { EventBatch } from '../shared/contracts/event-batch.ts'
import { Series } from '../shared/contracts/series.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { createApp } from './app.ts'
import { createCurrentness } from './currentness.ts'
import { createMapCountStore } from './maps/map-count-store.ts'

const PATH = '/events/series'
const FROM = '2026-11-20T21:00:00Z'
const views = [
  ['a', '21:00:10'],
  ['a', '21:00:20'],
  ['b', '23:59:59.999'],
].map(([assetId = '', time], n) => ({ id: `${n}`, assetId, userId: 'u', at: `2026-11-20T${time}Z` }))
const messages = [{ sequence: 1, views: 3, at: '2026-11-21T00:00:00Z' }]
const batch: EventBatch = { stream: 's', after: 0, through: 1, views, messages }

describe('the series', () => {
  test('have a point for each step that starts in the interval, even without views', async () => {
    const { get } = await setUp()
    expect(await get({ step: 'hour', from: FROM, to: '2026-11-21T00:00:00Z' })).toEqual({
      step: 'hour',
      since: '2026-10-17T00:00:00.000Z',
      points: [
        { at: '2026-11-20T21:00:00.000Z', views: 2, qualified: 1 },
        { at: '2026-11-20T22:00:00.000Z', views: 0, qualified: 0 },
        { at: '2026-11-20T23:00:00.000Z', views: 1, qualified: 1 },
      ],
    })
    const { points } = await get({ step: 'hour', from: '2026-11-20T22:00:00.001+01:00', to: '2026-11-20T23:00:00Z' })
    expect(points.map(({ at }) => at)).toEqual(['2026-11-20T22:00:00.000Z'])
  })

  test('for one asset contain its views, or only zeros if it has none', async () => {
    const { get } = await setUp()
    const range = { step: 'day', from: '2026-11-20T00:00:00Z', to: '2026-11-20T00:00:01Z' }
    const pointOf = async (assetId: string) => await get({ ...range, assetId })
    expect(await pointOf('a')).toMatchObject({ since: null, points: [{ views: 2, qualified: 1 }] })
    expect(await pointOf('b')).toMatchObject({ points: [{ views: 1, qualified: 1 }] })
    expect(await pointOf('constructor')).toMatchObject({ points: [{ views: 0, qualified: 0 }] })
  })

  test.each([
    ['minute', 60, 60_000],
    ['hour', 48, 3_600_000],
    ['day', 30, 86_400_000],
  ])('by %s end now by default, and have %d points', async (step, length, stepMs) => {
    const { app, get } = setUpEmpty()
    const before = Date.now()
    await app.request('/events/asset/a/user/u', { method: 'POST' })
    const { points } = await get({ step })
    expect(points).toHaveLength(length)
    expect(points.filter((point) => point.views > 0)).toEqual([{ at: expect.any(String), views: 1, qualified: 0 }])
    const end = Date.parse(points.at(-1)?.at ?? '')
    expect(end).toBeGreaterThan(before - stepMs)
    expect(end % stepMs).toBe(0)
  })

  test('are hourly by default', async () => {
    expect(await (await setUp()).get({})).toMatchObject({ step: 'hour' })
  })

  test('are sent as CSV if the client prefers it, and as JSON otherwise', async () => {
    const { app } = await setUp()
    const path = `${PATH}?step=hour&from=${FROM}&to=2026-11-20T23:00:00Z`
    const read = async (accept: string) => {
      const response = await app.request(path, { headers: { accept } })
      return [response.headers.get('content-type'), response.headers.get('vary'), await response.text()]
    }
    expect(await read('text/csv')).toEqual([
      'text/csv; charset=utf-8',
      'accept',
      'at,views,qualified\r\n2026-11-20T21:00:00.000Z,2,1\r\n2026-11-20T22:00:00.000Z,0,0\r\n',
    ])
    for (const accept of ['*/*', 'application/json', 'text/csv;q=0.5, application/json', 'text/html']) {
      expect(await read(accept)).toMatchObject(['application/json', 'accept', expect.stringMatching(/^{/)])
    }
  })

  test('have at most 3,000 points', async () => {
    const { app, get } = await setUp()
    const from = '2026-01-01T00:00:00Z'
    const toUrl = (to: string) => `${PATH}?${new URLSearchParams({ step: 'minute', from, to })}`
    expect((await get({ step: 'minute', from, to: '2026-01-03T02:00:00Z' })).points).toHaveLength(3_000)
    await expectProblem(await app.request(toUrl('2026-01-03T02:00:00.001Z')), 400, ['from'])
    await expectProblem(await app.request(toUrl('9999-01-01T00:00:00Z')), 400, ['from'])
  })

  test.each([
    ['step=minute&assetId=a', 'step'],
    ['step=week', 'step'],
    ['assetId=-', 'assetId'],
    ['from=yesterday', 'from'],
    ['to=2026-11-20', 'to'],
    [`from=${FROM}&to=${FROM}`, 'from'],
  ])('reject %s', async (query, path) => {
    const { app } = await setUp()
    await expectProblem(await app.request(`${PATH}?${query}`), 400, [path])
  })

  test('are not served while the counts are behind the log', async () => {
    const { app } = await setUp({ isFedByLog: true, end: 10 })
    const response = await app.request(PATH)
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await response.json()).toMatchObject({ status: 'Counts are behind', progress: 0.1 })
  })
})

function setUpEmpty({ isFedByLog = false } = {}) {
  const service = createTestService('reporting')
  const currentness = createCurrentness({ maxLagMs: 10_000, isFedByLog })
  const counts = createMapCountStore({ onReport: currentness.observe })
  const live = createLiveFeed({ ...service, source: counts.follow })
  const app = createApp({ ...service, counts, currentness, live })
  return {
    app,
    async get(query: Record<string, string>) {
      const response = await app.request(`${PATH}?${new URLSearchParams(query)}`)
      expect(response.status).toBe(200)
      return Series.parse(await response.json())
    },
  }
}

async function setUp({ end, ...options }: { isFedByLog?: boolean; end?: number } = {}) {
  const empty = setUpEmpty(options)
  expect((await empty.app.request('/events', jsonRequest({ ...batch, end }))).status).toBe(200)
  return empty
}
