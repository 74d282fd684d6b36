import { describe, expect, test } from 'vitest'
import type { EventBatch } from '../shared/contracts/event-batch.ts'
import { toWriteToken, type WriteToken } from '../shared/http/write-token.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { createApp } from './app.ts'
import { createCurrentness } from './currentness.ts'
import { createMapCountStore } from './maps/map-count-store.ts'

/** Ids that are also names of properties that every object inherits. */
const inherited = ['constructor', 'toString', 'hasOwnProperty']

const requestId = expect.any(String)

describe("an asset's or a user's views", () => {
  test.each(['9', ...inherited])('are not found for id %s before the first view', async (id) => {
    const { get } = setUp()
    expect(await get(`/events/asset/${id}`)).toEqual([404, { id, status: 'Asset not found', requestId }])
    expect(await get(`/events/user/${id}`)).toEqual([404, { id, status: 'User not found', requestId }])
  })

  test.each(['9', ...inherited])('are counted for id %s', async (id) => {
    const { get, post } = setUp()
    expect(await post(`/events/asset/${id}/user/u`)).toEqual([200, { userviews: 1, assetviews: 1 }])
    expect(await post(`/events/asset/a/user/${id}`)).toEqual([200, { userviews: 1, assetviews: 1 }])
    expect(await get(`/events/asset/${id}`)).toEqual([200, { id, views: 1, qualified: 0, viewers: 0 }])
    expect(await get(`/events/user/${id}`)).toEqual([200, { id, views: 1, qualified: 0 }])
  })

  test('are counted separately for each id', async () => {
    const { get, post } = setUp()
    await post('/events/asset/a/user/u')
    expect(await post('/events/asset/a/user/v')).toEqual([200, { userviews: 1, assetviews: 2 }])
    expect(await post('/events/asset/b/user/v')).toEqual([200, { userviews: 2, assetviews: 1 }])
    expect(await get('/events/asset/u')).toMatchObject([404, {}])
    expect(await get('/events/user/a')).toMatchObject([404, {}])
  })

  test('cannot be read or counted under an invalid id', async () => {
    const { app } = setUp()
    await expectProblem(await app.request('/events/asset/a%2Fb'), 400, ['assetId'])
    await expectProblem(await app.request('/events/user/%zz'), 400, ['userId'])
    const both = await app.request('/events/asset/-a/user/-u', { method: 'POST' })
    await expectProblem(both, 400, ['assetId', 'userId'])
  })
})

describe('a lookup', () => {
  test('returns every requested id, with a count of 0 for unknown ids', async () => {
    const { post } = setUp()
    await post('/events/asset/a/user/constructor')
    await post('/events/asset/a/user/u')
    expect(await post('/events/lookup', { assets: ['a', 'x', ...inherited], users: ['u', 'a', ...inherited] })).toEqual(
      [
        200,
        {
          assets: { a: 2, x: 0, constructor: 0, toString: 0, hasOwnProperty: 0 },
          users: { u: 1, a: 0, constructor: 1, toString: 0, hasOwnProperty: 0 },
        },
      ],
    )
  })

  test('returns lists in the order of the ids if `as` is `lists`', async () => {
    const { post } = setUp()
    await post('/events/asset/a/user/u')
    const ids = { assets: ['toString', 'a', 'x', 'a'], users: ['u'], details: true }
    expect(await post('/events/lookup?as=lists', ids)).toEqual([200, { assets: [0, 1, 0, 1], users: [1] }])
    expect(await post('/events/lookup?as=lists', { users: ['x'] })).toEqual([200, { assets: [], users: [0] }])
    expect((await post('/events/lookup?as=sets', ids))[0]).toBe(400)
  })

  test('may omit assets or users', async () => {
    const { post } = setUp()
    expect(await post('/events/lookup', { assets: ['a'] })).toEqual([200, { assets: { a: 0 }, users: {} }])
    expect(await post('/events/lookup', { users: ['u'] })).toEqual([200, { assets: {}, users: { u: 0 } }])
  })

  test('rejects each invalid id and unknown field', async () => {
    const response = await setUp().app.request(
      '/events/lookup',
      jsonRequest({ assets: ['a', '/'], users: [1], more: 1 }),
    )
    await expectProblem(response, 400, ['assets.1', 'users.0', 'more'])
  })
})

describe('the top list', () => {
  async function openWithViews() {
    const { get, post } = setUp()
    for (const [asset, user] of ['bu', 'av', 'cv', 'cw', 'cw']) await post(`/events/asset/${asset}/user/${user}`)
    return get
  }

  test('is ordered by views, then by id', async () => {
    const get = await openWithViews()
    const assets = [
      { id: 'c', views: 3, qualified: 0, viewers: 0 },
      { id: 'a', views: 1, qualified: 0, viewers: 0 },
      { id: 'b', views: 1, qualified: 0, viewers: 0 },
    ]
    const users = [
      { id: 'v', views: 2, qualified: 0 },
      { id: 'w', views: 2, qualified: 0 },
      { id: 'u', views: 1, qualified: 0 },
    ]
    expect(await get('/events/top')).toEqual([200, { by: 'asset', of: 'views', top: assets }])
    expect(await get('/events/top?by=asset')).toEqual([200, { by: 'asset', of: 'views', top: assets }])
    expect(await get('/events/top?by=user')).toEqual([200, { by: 'user', of: 'views', top: users }])
    expect(await get('/events/top?limit=2')).toEqual([200, { by: 'asset', of: 'views', top: assets.slice(0, 2) }])
    expect(await get('/events/top?by=user&limit=1')).toEqual([200, { by: 'user', of: 'views', top: users.slice(0, 1) }])
  })

  test('is empty before the first view', async () => {
    expect(await setUp().get('/events/top?by=user')).toEqual([200, { by: 'user', of: 'views', top: [] }])
  })

  test('has 10 entries by default', async () => {
    const { get, post } = setUp()
    for (let n = 0; n < 11; n += 1) await post(`/events/asset/${n}/user/u`)
    expect(await get('/events/top')).toMatchObject([200, { top: { length: 10 } }])
  })

  test.each(['by=view', 'by=', 'limit=0', 'limit=1001', 'limit=x', 'of=viewers'])('rejects %s', async (query) => {
    const [field] = query.split('=')
    await expectProblem(await setUp().app.request(`/events/top?${query}`), 400, [String(field)])
  })
})

describe('judged views', () => {
  const at = '2026-11-20T21:00:00.000Z'
  const views = [view('1', 'a', 'u'), view('2', 'a', 'u'), view('3', 'b', 'v')]
  const batch = { stream: 's', after: 0, through: 8, views, messages: [{ sequence: 7, views: 3, at }], end: 8 }

  async function openWithVerdicts() {
    const opened = setUp()
    expect(await opened.post('/events', { ...batch, skipped: [{ sequence: 8, ids: ['letter'] }] })).toMatchObject([
      200,
      {},
    ])
    return opened
  }

  test('have verdicts, each explained in one sentence', async () => {
    const { get } = await openWithVerdicts()
    const counted = { state: 'counted', rule: 'v1', at: views[0]?.at, position: { stream: 's', sequence: 7 } }
    const first = { id: '1', verdict: 'qualified', reason: null, because: null, assetId: 'a', userId: 'u' }
    expect(await get('/events/views/1')).toEqual([
      200,
      { ...counted, ...first, summary: 'Qualified: it passes all v1 view rules.' },
    ])
    expect(await get('/events/views/2')).toMatchObject([
      200,
      {
        verdict: 'not-qualified',
        reason: 'repeat',
        because: { id: '1', at: views[0]?.at },
        summary: 'Not qualified: the same user played the same asset 0 s before, event 1.',
      },
    ])
    expect(await get('/events/views/letter')).toMatchObject([
      200,
      {
        state: 'rejected',
        verdict: null,
        position: { sequence: 8 },
        summary: 'Not a view: the message at sequence 8 in the log is a dead letter.',
      },
    ])
  })

  test('are not found under an unknown id; the 404 contains the position and `knownSince`', async () => {
    const { get } = await openWithVerdicts()
    const position = { stream: 's', sequence: 8 }
    const notFound = { status: 'View not found', position, knownSince: at, requestId }
    expect(await get('/events/views/unknown')).toEqual([404, notFound])
    expect(await setUp().get('/events/views/1')).toEqual([404, { ...notFound, position: null, knownSince: null }])
  })

  test('add up in the audit, which includes the number of waiting messages', async () => {
    const { get, post } = await openWithVerdicts()
    await post('/events/asset/a/user/u')
    expect(await get('/events/audit')).toEqual([
      200,
      {
        views: 4,
        qualified: 2,
        pending: 0,
        notQualified: { repeat: 1 },
        direct: 1,
        retried: 0,
        rejected: 1,
        position: { stream: 's', sequence: 8 },
        waiting: 0,
      },
    ])
    await post('/events', { stream: 's', after: 8, through: 8, views: [], end: 10 })
    expect(await get('/events/audit')).toMatchObject([200, { waiting: 2 }])
    expect(await setUp().get('/events/audit')).toMatchObject([200, { views: 0, position: null, waiting: null }])
  })

  test('appear in the details of a lookup and in a top list of qualified views', async () => {
    const { get, post } = await openWithVerdicts()
    expect(await post('/events/lookup', { assets: ['a', 'x'], users: ['u'], details: true })).toEqual([
      200,
      {
        assets: { a: 2, x: 0 },
        users: { u: 2 },
        qualified: { assets: { a: 1, x: 0 }, users: { u: 1 } },
        viewers: { a: 1, x: 0 },
      },
    ])
    const top = [
      { id: 'a', views: 2, qualified: 1, viewers: 1 },
      { id: 'b', views: 1, qualified: 1, viewers: 1 },
    ]
    expect(await get('/events/top?of=qualified')).toEqual([200, { by: 'asset', of: 'qualified', top }])
  })

  test('are rejected if their number differs from the number in `messages`', async () => {
    const { app } = setUp()
    const response = await app.request('/events', jsonRequest({ ...batch, views: views.slice(1) }))
    await expectProblem(response, 400, ['messages'])
  })
})

describe('a batch from the log', () => {
  const first = { stream: 's', after: 0, through: 3, views: [view('1', 'a', 'u'), view('2', 'a', 'v')] }

  test('advances the position, which is null at first', async () => {
    const { get, post } = setUp()
    expect(await get('/events/position')).toEqual([200, null])
    expect(await post('/events', first)).toEqual([200, { stream: 's', sequence: 3 }])
    expect(await get('/events/position')).toEqual([200, { stream: 's', sequence: 3 }])
  })

  test('is counted once, and rejected with the current position if it is sent again', async () => {
    const { get, post } = setUp()
    await post('/events', first)
    expect(await post('/events', first)).toEqual([409, conflict({ stream: 's', sequence: 3 })])
    expect(await get('/events/asset/a')).toMatchObject([200, { id: 'a', views: 2 }])
    expect(await get('/events/user/v')).toMatchObject([200, { id: 'v', views: 1 }])
  })

  test('is rejected with the current position if it would leave a gap', async () => {
    const { get, post } = setUp()
    const later = { ...first, after: 4, through: 5 }
    expect(await post('/events', later)).toEqual([409, conflict(null)])
    await post('/events', first)
    expect(await post('/events', later)).toEqual([409, conflict({ stream: 's', sequence: 3 })])
    expect(await get('/events/asset/a')).toMatchObject([200, { id: 'a', views: 2 }])
  })

  test('is accepted without views', async () => {
    const { post } = setUp()
    expect(await post('/events', { ...first, views: [] })).toEqual([200, { stream: 's', sequence: 3 }])
  })

  test('adds its views to those that were counted directly', async () => {
    const { get, post } = setUp()
    await post('/events/asset/a/user/u')
    expect(await get('/events/position')).toEqual([200, null])
    await post('/events', first)
    expect(await post('/events/asset/a/user/u')).toEqual([200, { userviews: 3, assetviews: 4 }])
    expect(await get('/events/position')).toEqual([200, { stream: 's', sequence: 3 }])
  })

  test('with invalid fields is rejected as a whole, with an error for each field', async () => {
    const { app, get } = setUp()
    const tooEarly = { ...view('2', 'a', 'u'), at: '0000-01-01T00:00:00+23:59' }
    const views = [view('1', 'a', 'u'), { id: '', assetId: '/', at: 'noon', more: 1 }, tooEarly]
    const bad = { stream: '', after: -1, through: 1.5, views, more: 1 }
    await expectProblem(await app.request('/events', jsonRequest(bad)), 400, [
      'stream',
      'after',
      'through',
      'views.1.id',
      'views.1.assetId',
      'views.1.userId',
      'views.1.at',
      'views.1.more',
      'views.2.at',
      'more',
    ])
    expect(await get('/events/asset/a')).toMatchObject([404, {}])
  })

  test('must end after it starts', async () => {
    await expectProblem(await setUp().app.request('/events', jsonRequest({ ...first, after: 3 })), 400, ['through'])
  })
})

describe.each([
  ['/events', 20],
  ['/events/lookup', 4],
])('POST %s', (path, maxMib) => {
  const valid = JSON.stringify(path === '/events' ? { stream: 's', after: 0, through: 1, views: [] } : {})
  const send = (body: string, headers?: Record<string, string>) => setUp().app.request(path, jsonRequest(body, headers))

  test(`accepts a body of up to ${maxMib} MiB`, async () => {
    expect((await send(valid.padEnd(maxMib * 1024 * 1024))).status).toBe(200)
    await expectProblem(await send(valid.padEnd(maxMib * 1024 * 1024 + 1)), 413)
  })

  test('requires JSON with a content-length', async () => {
    await expectProblem(await send('{'), 400, [''])
    const [error] = await expectProblem(await send(valid, { 'content-type': 'text/plain' }), 415)
    expect(error?.message).toContain('content-type: application/json')
    const headers = { 'content-type': 'application/json' }
    await expectProblem(await setUp().app.request(path, { method: 'POST', body: valid, headers }), 411)
  })

  test('is the only allowed method: GET returns 405', async () => {
    const response = await setUp().app.request(path)
    await expectProblem(response, 405)
    expect(response.headers.get('allow')).toBe('POST')
  })
})

test('if a write token is set, counting views requires it, but reading counts does not', async () => {
  const { app } = setUp(toWriteToken('secret'))
  const batch: EventBatch = { stream: 's', after: 0, through: 1, views: [view('1', 'a', 'u')] }
  const authorization = 'Bearer secret'
  const single = '/events/asset/a/user/u'
  await expectProblem(await app.request('/events', jsonRequest(batch)), 401, ['authorization'])
  await expectProblem(await app.request(single, { method: 'POST' }), 401, ['authorization'])
  expect((await app.request('/events/lookup', jsonRequest({ assets: ['a'] }))).status).toBe(200)
  expect((await app.request('/events', jsonRequest(batch, { authorization }))).status).toBe(200)
  const response = await app.request(single, { method: 'POST', headers: { authorization } })
  expect(await response.json()).toEqual({ userviews: 2, assetviews: 2 })
})

test('openapi.json documents every route', async () => {
  const [, document] = await setUp().get('/openapi.json')
  expect(document).toMatchObject({
    paths: {
      '/events/asset/{assetId}': { get: {} },
      '/events/user/{userId}': { get: {} },
      '/events/asset/{assetId}/user/{userId}': { post: {} },
      '/events/lookup': { post: {} },
      '/events/top': { get: {} },
      '/events/live': { get: {} },
      '/events/position': { get: {} },
      '/events': { post: { responses: { 200: {}, 409: {} } } },
    },
  })
})

describe('counts that are behind the log', () => {
  const batch = { stream: 's', after: 0, through: 4, views: [view('1', 'a', 'u')] }

  test.each(['/events/asset/a', '/events/user/u', '/events/top'])(
    'make %s respond 503 with the progress',
    async (path) => {
      const { app, post } = setUp(undefined, true)
      expect(await post('/events', { ...batch, end: 10 })).toEqual([200, { stream: 's', sequence: 4 }])
      const response = await app.request(path)
      expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
      expect(await response.json()).toEqual({ status: 'Counts are behind', progress: 0.4, requestId })
      await post('/events', { ...batch, after: 4, through: 10, end: 10 })
      expect((await app.request(path)).status).toBe(200)
    },
  )

  test('are omitted from the response to a lookup, which contains a status instead', async () => {
    const { post } = setUp(undefined, true)
    await post('/events', { ...batch, end: 10 })
    const lookup = { assets: ['a'], users: ['u'] }
    expect(await post('/events/lookup', lookup)).toEqual([200, { status: 'Counts are behind', progress: 0.4 }])
    await post('/events', { ...batch, after: 4, through: 10, end: 10 })
    expect(await post('/events/lookup', lookup)).toEqual([200, { assets: { a: 2 }, users: { u: 2 } }])
  })
})

describe('a report', () => {
  const report = { stream: 's', after: 0, through: 0, views: [], end: 0 }

  test('returns the position and counts nothing', async () => {
    const { post, get } = setUp()
    expect(await post('/events', report)).toEqual([200, null])
    expect(await get('/events/position')).toEqual([200, null])
    await post('/events', { stream: 's', after: 0, through: 1, views: [view('1', 'a', 'u')], end: 1 })
    expect(await post('/events', { ...report, end: 1 })).toEqual([200, { stream: 's', sequence: 1 }])
    expect(await get('/events/asset/a')).toMatchObject([200, { id: 'a', views: 1 }])
  })

  test.each([
    ['without the end of the log', { ...report, end: undefined }],
    ['with views', { ...report, views: [view('1', 'a', 'u')] }],
  ])('%s is an invalid batch', async (_, body) => {
    const { app } = setUp()
    await expectProblem(await app.request('/events', jsonRequest(body)), 400, ['through'])
  })
})

function setUp(writeToken?: WriteToken, isFedByLog = false) {
  const service = createTestService('reporting')
  const currentness = createCurrentness({ maxLagMs: 10_000, isFedByLog })
  const counts = createMapCountStore({ onReport: currentness.observe })
  const live = createLiveFeed({ ...service, source: counts.follow })
  const app = createApp({ ...service, counts, currentness, live, writeToken })
  const request = async (path: string, init?: RequestInit) => {
    const response = await app.request(path, init)
    return [response.status, await response.json()] as const
  }
  return {
    app,
    get: (path: string) => request(path),
    post: (path: string, body?: object) => request(path, body ? jsonRequest(body) : { method: 'POST' }),
  }
}

function view(id: string, assetId: string, userId: string): EventBatch['views'][number] {
  return { id, assetId, userId, at: '2026-11-20T21:00:00.123Z' }
}

function conflict(position: object | null) {
  return { status: 'Position mismatch', position, requestId }
}
