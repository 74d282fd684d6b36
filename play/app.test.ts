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

test('a play is answered with all that the player needs, its counts with this play', async () => {
  const { play } = open()
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

test('one who plays an asset three times in a row sees 1, 2, 3', async () => {
  const recorded: Play[] = []
  const { play } = open({
    gather: async () => ({ ...found, counts: { userviews: recorded.length, assetviews: recorded.length } }),
    async record(play) {
      recorded.push(play)
      return 'log'
    },
  })
  for (const views of [1, 2, 3]) {
    expect(await (await play()).json()).toMatchObject({ userviews: views, assetviews: views })
  }
})

test('the view is recorded under the id of the request before the answer leaves', async () => {
  const stored = Promise.withResolvers<Recorded>()
  const { play, recorded } = open({ record: () => stored.promise })
  let answered = false
  const answer = play().then((response) => {
    answered = true
    return response
  })
  await turn()
  expect(recorded).toEqual([{ assetId: '456', userId: '8', requestId: 'request-1' }])
  expect(answered).toBe(false)
  stored.resolve('log')
  expect((await answer).status).toBe(200)
})

test('what was down is named in the answer, and told', async () => {
  const { play, degraded } = open({
    gather: async () => ({ ...found, counts: undefined, degraded: ['metadata', 'reporting'] }),
  })
  expect(await (await play()).json()).toMatchObject({
    userviews: null,
    assetviews: null,
    degraded: ['metadata', 'reporting'],
  })
  expect(degraded).toEqual(['metadata', 'reporting'])
})

test('a view that went to the outbox is told as degraded; where nothing is down, nothing is told', async () => {
  const outbox = open({ record: async () => 'outbox' })
  await outbox.play()
  expect(outbox.degraded).toEqual(['events'])
  const well = open()
  await well.play()
  expect(well.degraded).toEqual([])
})

test('an unknown asset is a 404, and nothing is recorded', async () => {
  const { play, recorded } = open({ gather: async () => undefined })
  const response = await play()
  expect(response.status).toBe(404)
  expect(await response.json()).toEqual({ id: '456', status: 'Asset not found' })
  expect(recorded).toEqual([])
})

test('what cannot be gathered for now is a 503, and nothing is recorded', async () => {
  const { play, recorded } = open({ gather: () => Promise.reject(new UnavailableError('metadata was never read')) })
  const response = await play()
  expect(response.headers.get('retry-after')).toBe('1')
  await expectProblem(response, 503, [])
  expect(recorded).toEqual([])
})

test('a view that cannot be recorded is a 503', async () => {
  const { play } = open({ record: () => Promise.reject(new UnavailableError('the view is not recorded')) })
  await expectProblem(await play(), 503, [])
})

test('who comes while four thousand plays are under way is told at once to come again', async () => {
  const stored = Promise.withResolvers<Recorded>()
  const { play, recorded } = open({ record: () => stored.promise })
  const inFlight = Array.from({ length: 4_000 }, () => play())
  const refused = await play()
  expect(refused.headers.get('retry-after')).toBe('1')
  await expectProblem(refused, 503, [])
  stored.resolve('log')
  for (const response of await Promise.all(inFlight)) expect(response.status).toBe(200)
  expect((await play()).status).toBe(200)
  expect(recorded).toHaveLength(4_001)
})

test('plays that fail make room like those that are answered', async () => {
  const { play } = open({ gather: () => Promise.reject(new Error('broken')) })
  for (let n = 0; n < 4_001; n += 1) expect((await play()).status).toBe(500)
})

test.each([
  ['/play/asset/a%2Fb/user/8', ['assetId']],
  ['/play/asset/456/user/%zz', ['userId']],
  [`/play/asset/-/user/${'x'.repeat(129)}`, ['assetId', 'userId']],
])('%s is a 400 that names each bad id, and nothing is asked or recorded', async (path, fields) => {
  const { play, recorded, gathered } = open()
  await expectProblem(await play(path), 400, fields)
  expect([gathered, recorded]).toEqual([[], []])
})

test('a play is a POST', async () => {
  const response = await open().app.request('/play/asset/456/user/8')
  await expectProblem(response, 405)
  expect(response.headers.get('allow')).toBe('POST')
})

test('openapi.json has the play and its answers', async () => {
  const document = await (await open().app.request('/openapi.json')).json()
  expect(document).toMatchObject({
    paths: {
      '/play/asset/{assetId}/user/{userId}': { post: { responses: { 200: {}, 400: {}, 404: {}, 503: {} } } },
      '/live': { get: { responses: { 200: { content: { 'text/event-stream': {} } }, 503: {} } } },
    },
  })
})

type Fakes = {
  gather?: (play: Play) => Promise<Aggregate | undefined>
  record?: (play: Play) => Promise<Recorded>
}

/** The edge over sources that find the asset and a log that takes every view, unless the test says otherwise. */
function open({ gather = async () => found, record = async () => 'log' }: Fakes = {}) {
  const gathered: object[] = []
  const recorded: object[] = []
  const degraded: string[] = []
  const service = createTestService('play')
  const app = createApp({
    ...service,
    console: new Hono(),
    live: createLiveFeed({ ...service, source: () => () => {} }),
    sources: {
      gather(play, { requestId }) {
        gathered.push({ ...play, requestId })
        return gather(play)
      },
    },
    record(play, { requestId }) {
      recorded.push({ ...play, requestId })
      return record(play)
    },
    onDegraded: (parts) => degraded.push(...parts),
  })
  const play = async (path = '/play/asset/456/user/8') =>
    app.request(path, { method: 'POST', headers: { 'x-request-id': 'request-1' } })
  return { app, gathered, recorded, degraded, play }
}
