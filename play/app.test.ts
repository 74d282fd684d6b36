import { setImmediate as turn } from 'node:timers/promises'
import { Hono } from 'hono'
import { expect, test } from 'vitest'
import type { Play } from '../shared/contracts/play.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import type { Aggregate } from './aggregate.ts'
import { createApp } from './app.ts'
import type { Recorded } from './spooler.ts'

const found: Aggregate = {
  metadata: { id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator' },
  cdnUrl: { id: '456', url: 'path/to/asset456.mp4' },
  counts: { userviews: 2, assetviews: 6 },
  degraded: [],
}

test('a play returns everything the player needs, and its counts include this play', async () => {
  const { play } = setUp()
  const response = await play()
  expect(response.status).toBe(200)
  expect(await response.json()).toEqual({
    id: '456',
    title: 'Terminator',
    genre: 'action',
    summary: 'Summary for terminator',
    url: 'path/to/asset456.mp4',
    userviews: 3,
    assetviews: 7,
  })
})

test('three consecutive plays of a user return 1, 2 and 3 views', async () => {
  const recorded: Play[] = []
  const { play } = setUp({
    aggregate: async () => ({ ...found, counts: { userviews: recorded.length, assetviews: recorded.length } }),
    async record(play) {
      recorded.push(play)
      return 'log'
    },
  })
  for (const views of [1, 2, 3]) {
    expect(await (await play()).json()).toMatchObject({ userviews: views, assetviews: views })
  }
})

test('the view is recorded, with the request id, before the response is sent', async () => {
  const stored = Promise.withResolvers<Recorded>()
  const { play, recorded } = setUp({ record: () => stored.promise })
  let hasResponded = false
  const responding = play().then((response) => {
    hasResponded = true
    return response
  })
  await turn()
  expect(recorded).toEqual([{ assetId: '456', userId: '8', requestId: 'request-1' }])
  expect(hasResponded).toBe(false)
  stored.resolve('log')
  expect((await responding).status).toBe(200)
})

test('a degraded play names the upstreams whose data is missing or stale, and passes them to onDegraded', async () => {
  const { play, degraded } = setUp({
    aggregate: async () => ({ ...found, counts: undefined, degraded: ['metadata', 'reporting'] }),
  })
  expect(await (await play()).json()).toMatchObject({
    userviews: null,
    assetviews: null,
    degraded: ['metadata', 'reporting'],
  })
  expect(degraded).toEqual(['metadata', 'reporting'])
})

test('onDegraded is called for a play whose view went to the outbox, but not for a complete play', async () => {
  const outbox = setUp({ record: async () => 'outbox' })
  await outbox.play()
  expect(outbox.degraded).toEqual(['events'])
  const complete = setUp()
  await complete.play()
  expect(complete.degraded).toEqual([])
})

test('an unknown asset returns 404, and no view is recorded', async () => {
  const { play, recorded } = setUp({ aggregate: async () => undefined })
  const response = await play()
  expect(response.status).toBe(404)
  expect(await response.json()).toEqual({ id: '456', status: 'Asset not found', requestId: 'request-1' })
  expect(recorded).toEqual([])
})

test('a play returns 503 if its upstreams are unavailable, and no view is recorded', async () => {
  const { play, recorded } = setUp({ aggregate: () => Promise.reject(new UnavailableError('metadata is not cached')) })
  const response = await play()
  expect(response.headers.get('retry-after')).toBe('1')
  await expectProblem(response, 503, [])
  expect(recorded).toEqual([])
})

test('a play returns 503 if its view cannot be recorded', async () => {
  const { play } = setUp({ record: () => Promise.reject(new UnavailableError('the view could not be recorded')) })
  await expectProblem(await play(), 503, [])
})

test('plays beyond 4,000 in flight are rejected immediately, and can be retried', async () => {
  const stored = Promise.withResolvers<Recorded>()
  const { play, recorded } = setUp({ record: () => stored.promise })
  const inFlight = Array.from({ length: 4_000 }, () => play())
  const rejected = await play()
  expect(rejected.headers.get('retry-after')).toBe('1')
  await expectProblem(rejected, 503, [])
  stored.resolve('log')
  for (const response of await Promise.all(inFlight)) expect(response.status).toBe(200)
  expect((await play()).status).toBe(200)
  expect(recorded).toHaveLength(4_001)
})

test('failed plays free their slots', async () => {
  const { play } = setUp({ aggregate: () => Promise.reject(new Error('broken')) })
  for (let n = 0; n < 4_001; n += 1) expect((await play()).status).toBe(500)
})

test.each([
  ['/play/asset/a%2Fb/user/8', ['assetId']],
  ['/play/asset/456/user/%zz', ['userId']],
  [`/play/asset/-/user/${'x'.repeat(129)}`, ['assetId', 'userId']],
])('%s returns 400 with each invalid id, and no upstream is called', async (path, fields) => {
  const { play, recorded, aggregated } = setUp()
  await expectProblem(await play(path), 400, fields)
  expect([aggregated, recorded]).toEqual([[], []])
})

test('a play requires POST', async () => {
  const response = await setUp().app.request('/play/asset/456/user/8')
  await expectProblem(response, 405)
  expect(response.headers.get('allow')).toBe('POST')
})

test('openapi.json documents a play and the live stream', async () => {
  const document = await (await setUp().app.request('/openapi.json')).json()
  expect(document).toMatchObject({
    paths: {
      '/play/asset/{assetId}/user/{userId}': { post: { responses: { 200: {}, 400: {}, 404: {}, 503: {} } } },
      '/live': { get: { responses: { 200: { content: { 'text/event-stream': {} } }, 503: {} } } },
    },
  })
})

type Fakes = {
  aggregate?: (play: Play) => Promise<Aggregate | undefined>
  record?: (play: Play) => Promise<Recorded>
}

/** An edge that finds every asset and records every view, unless overridden. */
function setUp({ aggregate = async () => found, record = async () => 'log' }: Fakes = {}) {
  const aggregated: object[] = []
  const recorded: object[] = []
  const degraded: string[] = []
  const service = createTestService('play')
  const app = createApp({
    ...service,
    console: new Hono(),
    live: createLiveFeed({ ...service, source: () => () => {} }),
    aggregate(play, { requestId }) {
      aggregated.push({ ...play, requestId })
      return aggregate(play)
    },
    record(play, { requestId }) {
      recorded.push({ ...play, requestId })
      return record(play)
    },
    onDegraded: (upstreams) => degraded.push(...upstreams),
  })
  const play = async (path = '/play/asset/456/user/8') =>
    app.request(path, { method: 'POST', headers: { 'x-request-id': 'request-1' } })
  return { app, aggregated, recorded, degraded, play }
}
