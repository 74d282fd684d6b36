import { setImmediate as turn } from 'node:timers/promises'
import { Hono } from 'hono'
import { describe, expect, test } from 'vitest'
import type { Play } from '../shared/contracts/play.ts'
import type { ExplainedView } from '../shared/contracts/view-explanation.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { Aggregate, FoundAsset } from './aggregate.ts'
import { createApp } from './app.ts'
import type { LookedUp } from './count-lookup.ts'
import { toEventId } from './idempotency-key.ts'
import { createKeyedPlayer } from './keyed-player.ts'
import { shedLoad } from './limits/shed-load.ts'
import { createPlayer } from './player.ts'
import { createPrefetcher } from './prefetch.ts'
import { recordedIn } from './recorded.test-suite.ts'
import type { IdentifiedPlay } from './recorder.ts'
import type { Recorded } from './spooler.ts'
import type { ViewExplainer } from './view-explainer.ts'

const asset: FoundAsset = {
  metadata: { id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator' },
  cdnUrl: { id: '456', url: 'path/to/asset456.mp4' },
  degraded: [],
}
const counts: LookedUp = { userviews: 2, assetviews: 6, producer: 'p' }
const found: Aggregate = { asset, counting: Promise.resolve(counts) }

const explained: ExplainedView = {
  id: 'view-1',
  state: 'counted',
  verdict: 'qualified',
  reason: null,
  rule: 'v1',
  because: null,
  assetId: '456',
  userId: '8',
  at: '2026-11-20T21:00:00.000Z',
  position: { stream: 's', sequence: 7 },
  summary: 'Qualified.',
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

test('three consecutive plays by a user return the counts 1, 2 and 3', async () => {
  const recorded: Play[] = []
  const { play } = setUp({
    async aggregate() {
      const { length } = recorded
      return { asset, counting: Promise.resolve({ userviews: length, assetviews: length, producer: 'p' }) }
    },
    async record(play) {
      recorded.push(play)
      return recordedIn('log')
    },
  })
  for (const views of [1, 2, 3]) {
    expect(await (await play()).json()).toMatchObject({ userviews: views, assetviews: views })
  }
})

test('the view is recorded while the counts are in flight, and is not added to counts that include it', async () => {
  const { promise, resolve } = Promise.withResolvers<LookedUp>()
  const { play, recorded } = setUp({ aggregate: async () => ({ asset, counting: promise }) })
  const responding = play()
  await turn()
  expect(recorded).toHaveLength(1)
  resolve({ ...counts, serial: 1 })
  expect(await (await responding).json()).toMatchObject({ userviews: 2, assetviews: 6 })
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
  expect(recorded).toEqual([{ id: expect.any(String), assetId: '456', userId: '8', requestId: 'request-1' }])
  expect(hasResponded).toBe(false)
  stored.resolve(recordedIn('log'))
  expect((await responding).status).toBe(200)
})

test('a degraded play names the upstreams whose data is missing or stale, and passes them to onDegraded', async () => {
  const { play, degraded } = setUp({
    aggregate: async () => ({ asset: { ...asset, degraded: ['metadata'] }, counting: Promise.resolve(undefined) }),
  })
  expect(await (await play()).json()).toMatchObject({
    userviews: null,
    assetviews: null,
    degraded: ['metadata', 'reporting'],
  })
  expect(degraded).toEqual(['metadata', 'reporting'])
})

test('onDegraded is called for a play whose view went to the outbox, but not for a complete play', async () => {
  const outbox = setUp({ record: async () => recordedIn('outbox') })
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
  stored.resolve(recordedIn('log'))
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
])('%s returns a 400 that names each invalid id, and no upstream is called', async (path, fields) => {
  const { play, recorded, aggregated } = setUp()
  await expectProblem(await play(path), 400, fields)
  expect([aggregated, recorded]).toEqual([[], []])
})

test('a play requires POST', async () => {
  const response = await setUp().app.request('/play/asset/456/user/8')
  await expectProblem(response, 405)
  expect(response.headers.get('allow')).toBe('POST')
})

describe('the header view-id', () => {
  test("is the recorded view's id, and contains the time of the play", async () => {
    const { play, recorded } = setUp()
    const before = Date.now()
    const id = (await play()).headers.get('view-id') ?? ''
    expect(recorded).toMatchObject([{ id }])
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    const at = Number.parseInt(id.replace('-', '').slice(0, 12), 16)
    expect(at).toBeGreaterThanOrEqual(before)
    expect(at).toBeLessThanOrEqual(Date.now())
  })

  test('is absent from error responses', async () => {
    const broken = setUp({ record: () => Promise.reject(new UnavailableError('the view could not be recorded')) })
    const missing = setUp({ aggregate: async () => undefined })
    for (const { play } of [broken, missing]) expect((await play()).headers.has('view-id')).toBe(false)
  })
})

describe('an Idempotency-Key', () => {
  const playWith = ({ play }: ReturnType<typeof setUp>, key: string, path?: string) =>
    play(path, { 'idempotency-key': key })

  test.each([
    ['"k"', 'k'],
    ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', '8e03978e-40d5-43dd-bc93-6894a57f9324'],
    ['" !#[]~"', ' !#[]~'],
    ['"say \\"hi\\" \\\\"', 'say "hi" \\'],
    [`"${'x'.repeat(255)}"`, 'x'.repeat(255)],
  ])("%s determines the view's id", async (header, key) => {
    const edge = setUp()
    const response = await playWith(edge, header)
    expect(response.status).toBe(200)
    expect(response.headers.get('view-id')).toBe(toEventId('8', key))
    expect(edge.recorded).toMatchObject([{ id: toEventId('8', key), keyed: true }])
  })

  test.each([
    [''],
    ['k'],
    ['""'],
    ['"'],
    ['"k'],
    ["'k'"],
    ['"a"b"'],
    ['"a", "b"'],
    ['"a";p=1'],
    ['"a\\"'],
    ['"a\\n"'],
    ['"a\tb"'],
    ['"é"'],
    [`"${'x'.repeat(256)}"`],
  ])('%j is refused with 400, and nothing is recorded', async (header) => {
    const edge = setUp()
    await expectProblem(await playWith(edge, header), 400, ['Idempotency-Key'])
    expect([edge.aggregated, edge.recorded]).toEqual([[], []])
  })

  test('that was used for another asset is refused with 422, and nothing more is recorded', async () => {
    const edge = setUp()
    await playWith(edge, '"k"')
    await expectProblem(await playWith(edge, '"k"', '/play/asset/123/user/8'), 422)
    expect(edge.recorded).toHaveLength(1)
    expect((await playWith(edge, '"k"', '/play/asset/123/user/9')).status).toBe(200)
  })
})

describe('a prefetch', () => {
  const prefetch = ({ play }: ReturnType<typeof setUp>, purpose: string, headers = {}) =>
    play(undefined, { 'sec-purpose': purpose, ...headers })

  test.each(['prefetch', 'prefetch;prerender', 'prefetch; anonymous-client-ip', 'prefetch;a=1;b="c"'])(
    "with Sec-Purpose: %s returns a play's response with unchanged counts, and records nothing",
    async (purpose) => {
      const edge = setUp()
      const response = await prefetch(edge, purpose)
      expect([response.status, await response.json()]).toEqual([
        200,
        { ...asset.metadata, url: asset.cdnUrl.url, userviews: 2, assetviews: 6 },
      ])
      expect(response.headers.has('view-id')).toBe(false)
      expect([edge.aggregated.length, edge.recorded]).toEqual([1, []])
    },
  )

  test.each(['', 'Prefetch', 'prefetched', 'prefetch, prefetch', 'prerender', '"prefetch"', 'navigate;prefetch'])(
    'is not requested by Sec-Purpose: %j, so a view is recorded',
    async (purpose) => {
      const edge = setUp()
      expect((await prefetch(edge, purpose)).headers.has('view-id')).toBe(true)
      expect(edge.recorded).toHaveLength(1)
    },
  )

  test('does not use up an idempotency key', async () => {
    const edge = setUp()
    const headers = { 'idempotency-key': '"k"' }
    expect((await prefetch(edge, 'prefetch', headers)).status).toBe(200)
    expect((await edge.play('/play/asset/123/user/8', headers)).status).toBe(200)
    expect(edge.recorded).toMatchObject([{ id: toEventId('8', 'k'), assetId: '123' }])
    expect((await prefetch(edge, 'prefetch', headers)).status).toBe(200)
  })

  test('of an unknown asset returns 404', async () => {
    expect((await prefetch(setUp({ aggregate: async () => undefined }), 'prefetch')).status).toBe(404)
  })

  test('is served while views cannot be recorded', async () => {
    const edge = setUp({ record: () => Promise.reject(new UnavailableError('the view could not be recorded')) })
    expect([(await prefetch(edge, 'prefetch')).status, (await edge.play()).status]).toEqual([200, 503])
  })
})

describe('GET /views/:viewId', () => {
  test('returns the explanation of the view', async () => {
    const response = await setUp().app.request('/views/view-1')
    expect([response.status, await response.json()]).toEqual([200, explained])
  })

  test('returns 404 with the position and the request id if the view is not found', async () => {
    const absent = { status: 'View not found', position: null, knownSince: null, requestId: 'other' } as const
    const { app } = setUp({ explain: async () => absent })
    const response = await app.request('/views/view-1', { headers: { 'x-request-id': 'request-1' } })
    expect([response.status, await response.json()]).toEqual([404, { ...absent, requestId: 'request-1' }])
  })

  test("returns 503 if the view's fate is unknown", async () => {
    const { app } = setUp({ explain: () => Promise.reject(new UnavailableError('reporting is down')) })
    await expectProblem(await app.request('/views/view-1'), 503, [])
  })

  test('returns 400 for an id longer than 256 characters', async () => {
    await expectProblem(await setUp().app.request(`/views/${'x'.repeat(257)}`), 400, ['viewId'])
  })
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
  explain?: ViewExplainer
}

/** An edge that finds every asset and records every view, unless overridden. */
function setUp(fakes: Fakes = {}) {
  const {
    aggregate = async () => found,
    record = async () => recordedIn('log'),
    explain = async () => explained,
  } = fakes
  const aggregated: object[] = []
  const recorded: object[] = []
  const degraded: string[] = []
  const service = createTestService('play')
  const steps = {
    aggregate(play: Play, { requestId }: RequestContext) {
      aggregated.push({ ...play, requestId })
      return aggregate(play)
    },
    record(play: IdentifiedPlay, { requestId }: RequestContext) {
      recorded.push({ ...play, requestId })
      return record(play)
    },
  }
  const playKeyed = createKeyedPlayer({ ...steps, onOutcome() {} })
  const app = createApp({
    ...service,
    console: new Hono(),
    live: createLiveFeed({ ...service, source: () => () => {} }),
    play: createPlayer({ ...steps, playKeyed }),
    record: steps.record,
    prefetch: createPrefetcher({ ...steps, onServed() {} }),
    shedLoad: shedLoad({ delay: { ms: () => 0 }, onRefused() {} }),
    explain,
    onDegraded: (upstreams) => degraded.push(...upstreams),
    onDenied() {},
  })
  const play = async (path = '/play/asset/456/user/8', headers: Record<string, string> = {}) =>
    app.request(path, { method: 'POST', headers: { 'x-request-id': 'request-1', ...headers } })
  return { app, aggregated, recorded, degraded, play }
}
