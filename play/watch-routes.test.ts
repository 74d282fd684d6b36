import { describe, expect, test } from 'vitest'
import { createBaseApp } from '../shared/http/base-app.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { limitReports } from './limits/rate-limit.ts'
import { recordedIn } from './recorded.test-suite.ts'
import type { IdentifiedPlay } from './recorder.ts'
import type { Recorded } from './spooler.ts'
import { createWatchRoutes } from './watch-routes.ts'

const report = { assetId: '456', userId: '8', seconds: 31.5 }

function setUp(record: () => Promise<Recorded> = async () => recordedIn('log')) {
  const recorded: IdentifiedPlay[] = []
  const service = createTestService('play')
  const refuseReport = limitReports({ rate: { count: 2, periodMs: 60_000 }, log: service.log, onRefused() {} })
  const routes = createWatchRoutes({
    async record(play) {
      recorded.push(play)
      return record()
    },
    refuseReport,
  })
  const app = createBaseApp(service, {}).route('/', routes)
  const post = async (body: object, viewId = 'view-1') => app.request(`/play/watched/${viewId}`, jsonRequest(body))
  return { app, post, recorded }
}

test.each(['log', 'outbox'] as const)('a report that is recorded in the %s gets a 202', async (place) => {
  const { post, recorded } = setUp(async () => recordedIn(place))
  const response = await post(report)
  expect([response.status, await response.json()]).toEqual([202, { status: 'recorded' }])
  const watched = { viewId: 'view-1', seconds: 31.5 }
  expect(recorded).toEqual([{ id: expect.any(String), assetId: '456', userId: '8', watched }])
})

test('each report is an event with an id of its own', async () => {
  const { post, recorded } = setUp()
  await post(report)
  await post(report)
  expect(new Set(recorded.map(({ id }) => id)).size).toBe(2)
})

test('a report that could not be recorded gets a 503', async () => {
  const { post } = setUp(async () => {
    throw new UnavailableError('the report could not be recorded')
  })
  await expectProblem(await post(report), 503, [])
})

test("reports above a user's rate limit get a 429 and are not recorded", async () => {
  const { post, recorded } = setUp()
  for (let n = 0; n < 2; n += 1) expect((await post(report)).status).toBe(202)
  expect((await post(report)).status).toBe(429)
  expect((await post({ ...report, userId: '9' })).status).toBe(202)
  expect(recorded).toHaveLength(3)
})

describe('an invalid report is not recorded', () => {
  test.each([
    ['seconds', { ...report, seconds: -0.1 }],
    ['seconds', { ...report, seconds: 86_400.1 }],
    ['seconds', { ...report, seconds: '31' }],
    ['seconds', { assetId: '456', userId: '8' }],
    ['assetId', { ...report, assetId: 'a b' }],
    ['userId', { ...report, userId: '' }],
    ['more', { ...report, more: 1 }],
  ])('because of its field %s: %j', async (field, body) => {
    const { post, recorded } = setUp()
    await expectProblem(await post(body), 400, [field])
    expect(recorded).toEqual([])
  })

  test('because its view id is too long', async () => {
    const { post, recorded } = setUp()
    await expectProblem(await post(report, 'x'.repeat(257)), 400, ['viewId'])
    expect(recorded).toEqual([])
  })

  test('because its body is too large', async () => {
    const { app } = setUp()
    const headers = { 'content-type': 'application/json', 'content-length': '70000' }
    const response = await app.request('/play/watched/1', { method: 'POST', headers, body: ' '.repeat(70_000) })
    expect(response.status).toBe(413)
  })
})
