import { describe, expect, test } from 'vitest'
import { type ServiceResponse, UpstreamError } from '../shared/client/service-client.ts'
import type { LogPosition } from '../shared/contracts/position.ts'
import type { ExplainedView, ViewNotFound } from '../shared/contracts/view-explanation.ts'
import type { Search } from '../shared/event-log/event-log.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import { createTestRequestContext, createTestService } from '../shared/testing/test-service.ts'
import type { RecentView } from './recent-views.ts'
import { createViewExplainer } from './view-explainer.ts'

const view: RecentView = { id: 'v', assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00.000Z' }
const counted: ExplainedView = {
  ...view,
  state: 'counted',
  verdict: 'qualified',
  reason: null,
  rule: 'v1',
  because: null,
  position: { stream: 's', sequence: 8 },
  summary: 'Qualified.',
}
const absent: ViewNotFound = {
  status: 'View not found',
  position: { stream: 's', sequence: 7 },
  knownSince: null,
  requestId: 'r',
}
const pending = { verdict: null, reason: null, rule: null, because: null }
const found: Search = { found: { position: { incarnation: 's', sequence: 8 }, view }, isComplete: true }
const complete: Search = { found: undefined, isComplete: true }
const incomplete: Search = { found: undefined, isComplete: false }

test.each(['counted', 'rejected'] as const)('a view that reporting has %s is explained by reporting', async (state) => {
  const system = setUp({ reporting: [{ status: 200, body: { ...counted, state } }] })
  expect(await system.explain()).toEqual({ ...counted, state })
  expect(system.calls).toEqual(['GET /events/views/v%2F1'])
})

test('a view in an outbox has the state outbox, and no verdict', async () => {
  expect(await setUp({ waiting: view }).explain()).toEqual({
    ...view,
    ...pending,
    state: 'outbox',
    position: null,
    summary: expect.stringContaining('outbox'),
  })
})

test('a view in the log that is not counted yet has a position', async () => {
  const system = setUp({ logged: found })
  expect(await system.explain()).toEqual({
    ...view,
    ...pending,
    state: 'log',
    position: { stream: 's', sequence: 8 },
    summary: expect.stringContaining('not counted yet'),
  })
  expect(system.searchedAfter).toEqual([{ incarnation: 's', sequence: 7 }])
})

test('an event in an invalid message has the state rejected, even before reporting reads the message', async () => {
  const logged = { found: { position: { incarnation: 's', sequence: 8 }, view: undefined }, isComplete: true }
  expect(await setUp({ logged }).explain()).toMatchObject({
    id: 'v/1',
    state: 'rejected',
    reason: 'dead-letter',
    assetId: null,
    position: { stream: 's', sequence: 8 },
  })
})

test('a view that does not exist is not found', async () => {
  const system = setUp()
  expect(await system.explain()).toEqual(absent)
  expect(system.calls).toEqual(['GET /events/views/v%2F1', 'outboxes', 'log', 'GET /events/views/v%2F1'])
})

test('a view that is counted during the search is found', async () => {
  const reporting = [
    { status: 404, body: absent },
    { status: 200, body: counted },
  ]
  expect(await setUp({ reporting }).explain()).toEqual(counted)
})

test('a view that the log lost is not found, although this process recorded it', async () => {
  expect(await setUp({ recent: view }).explain()).toEqual(absent)
})

describe('if reporting', () => {
  const down = [new UpstreamError('reporting is down')]

  test('is down, a view that this process recorded is reported as in the log, without a search', async () => {
    const system = setUp({ reporting: down, recent: view })
    expect(await system.explain()).toMatchObject({ ...view, state: 'log', position: null })
    expect(system.calls).not.toContain('log')
  })

  test("is down, other edges' views are found in outboxes and in the log", async () => {
    expect(await setUp({ reporting: down, waiting: view }).explain()).toMatchObject({ state: 'outbox' })
    expect(await setUp({ reporting: down, logged: found }).explain()).toMatchObject({ state: 'log' })
  })

  test('is down, it is unknown whether a view exists', async () => {
    await expect(setUp({ reporting: down }).explain()).rejects.toThrow(UnavailableError)
  })

  test('recovers during the search, its second response is used', async () => {
    expect(await setUp({ reporting: [...down, { status: 200, body: counted }] }).explain()).toEqual(counted)
    const system = setUp({ reporting: [...down, { status: 404, body: absent }], logged: incomplete })
    await expect(system.explain()).rejects.toThrow(UnavailableError)
  })

  test('is from the previous release, it is treated as down', async () => {
    const reporting = [{ status: 404, body: { status: 'Not found', requestId: 'r' } }]
    await expect(setUp({ reporting }).explain()).rejects.toThrow(UnavailableError)
  })

  test('is far behind the log, it is unknown whether a view exists, unless this process recorded it', async () => {
    await expect(setUp({ logged: incomplete }).explain()).rejects.toThrow(UnavailableError)
    expect(await setUp({ logged: incomplete, recent: view }).explain()).toMatchObject({ ...view, state: 'log' })
  })
})

test.each([
  ['the outboxes', 'waiting'],
  ['the log', 'logged'],
])('while %s cannot be searched, it is unknown whether a view exists', async (_, place) => {
  const system = setUp({ [place]: new Error('unavailable') })
  await expect(system.explain()).rejects.toThrow(UnavailableError)
  expect(
    await setUp({ [place]: new Error('unavailable'), reporting: [{ status: 200, body: counted }] }).explain(),
  ).toEqual(counted)
})

type Fakes = {
  /** reporting's responses; the last one is repeated. */
  reporting?: (ServiceResponse | Error)[]
  waiting?: RecentView | Error
  recent?: RecentView
  logged?: Search | Error
}

/** A system that does not have the view, except in the places where a fake adds it. */
function setUp({ reporting = [{ status: 404, body: absent }], waiting, recent, logged = complete }: Fakes = {}) {
  const calls: string[] = []
  const searchedAfter: (LogPosition | undefined)[] = []
  let responses = 0
  const explain = createViewExplainer({
    reporting: {
      async get(path) {
        calls.push(`GET ${path}`)
        const response = reporting[responses] ?? reporting.at(-1)
        responses += 1
        return orThrow(response ?? new Error('no response'))
      },
    },
    async findWaiting() {
      calls.push('outboxes')
      return orThrow(waiting)
    },
    recent: { get: () => recent },
    eventLog: {
      async find(_, after) {
        calls.push('log')
        searchedAfter.push(after)
        return orThrow(logged)
      },
    },
    log: createTestService().log,
  })
  return { calls, searchedAfter, explain: () => explain('v/1', createTestRequestContext()) }
}

function orThrow<Value>(value: Value | Error): Value {
  if (value instanceof Error) throw value
  return value
}
