import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DeadLetters, EventLog } from '../shared/event-log/event-log.ts'
import { createSqliteEventLog } from '../shared/event-log/sqlite-event-log.ts'
import { toWriteToken, type WriteToken } from '../shared/http/write-token.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { createQueueListenerApp } from './app.ts'

const event = { specversion: '1.0', id: 'a', type: 'video.viewed', data: { assetId: '456', userId: '8' } }

let eventLog: EventLog
beforeEach(async () => {
  eventLog = createSqliteEventLog({ file: ':memory:', log: pino({ level: 'silent' }) })
  const producer = eventLog.producer('/test')
  for (const id of ['a', 'b', 'c']) {
    await producer.append([{ id, assetId: '456', userId: '8', at: '2026-11-20T21:00:00Z' }], AbortSignal.timeout(1_000))
    await eventLog.reject(id.charCodeAt(0) - 96, `reporting refused ${id}`)
  }
})
afterEach(() => eventLog[Symbol.asyncDispose]())

type Overrides = { deadLetters?: Partial<DeadLetters>; writeToken?: WriteToken }

function open({ deadLetters, writeToken }: Overrides = {}) {
  const service = createTestService('queue-listener')
  return createQueueListenerApp({ ...service, deadLetters: { ...eventLog.deadLetters, ...deadLetters }, writeToken })
}

async function get(path: string, app = open()) {
  const response = await app.request(path)
  return { status: response.status, body: await response.json() }
}

test('dead letters are listed in pages', async () => {
  const letter = { reason: 'reporting refused a', at: expect.stringMatching(/^20/), size: expect.any(Number) }
  const { status, body } = await get('/dead-letters?limit=2')
  expect(status).toBe(200)
  expect(body).toMatchObject({ deadLetters: [{ sequence: 1, ...letter }, { sequence: 2 }], next: 2 })
  expect((await get('/dead-letters?limit=2&after=2')).body).toMatchObject({
    deadLetters: [{ sequence: 3 }],
    next: null,
  })
})

test.each(['limit=0', 'limit=1001', 'after=-1', 'after=x'])('a list request with %s is refused', async (query) => {
  await expectProblem(await open().request(`/dead-letters?${query}`), 400, [query.split('=')[0] ?? ''])
})

test('a dead letter is returned with its headers, and with its body as text', async () => {
  const { body } = await get('/dead-letters/1')
  expect(body).toMatchObject({ sequence: 1, headers: {}, encoding: 'utf-8', body: expect.stringContaining('"id":"a"') })
})

test('a body that is not UTF-8 is returned as base64, and the `encoding` field says so', async () => {
  const bytes = Buffer.from([0xff, 0x22])
  const letter = { sequence: 1, reason: 'invalid', at: '2026-11-20T21:00:00Z', size: 2, headers: {}, body: bytes }
  const { body } = await get('/dead-letters/1', open({ deadLetters: { get: async () => letter } }))
  expect(body).toMatchObject({ encoding: 'base64', body: bytes.toString('base64') })
})

test('a replay without a body appends the original views, but only once', async () => {
  const app = open()
  const response = await app.request('/dead-letters/1/replay', { method: 'POST' })
  expect(await response.json()).toEqual({ status: 'ok', sequence: 4, views: 1 })
  expect((await get('/dead-letters')).body).toMatchObject({ deadLetters: [{ sequence: 2 }, { sequence: 3 }] })
  const again = await app.request('/dead-letters/1/replay', { method: 'POST' })
  expect([again.status, await again.json()]).toEqual([
    409,
    {
      sequence: 1,
      status: 'Dead letter already replayed',
      at: expect.stringMatching(/^20/),
      requestId: again.headers.get('x-request-id'),
    },
  ])
})

test('a replay with a body appends the corrected views', async () => {
  const response = await open().request('/dead-letters/1/replay', jsonRequest([event]))
  expect(await response.json()).toEqual({ status: 'ok', sequence: 4, views: 1 })
})

test.each([
  ['that is not JSON', '{'],
  ['without events', '[]'],
  ['with a different id', { ...event, id: 'other' }],
  ['with an invalid asset', { ...event, data: { assetId: '/', userId: '8' } }],
])('a replay with a body %s is refused, and changes nothing', async (_, body) => {
  const [error] = await expectProblem(await open().request('/dead-letters/1/replay', jsonRequest(body)), 400)
  expect(error?.message).toMatch(/\w/)
  expect((await get('/dead-letters/1')).status).toBe(200)
})

test('a deleted dead letter is no longer listed, and cannot be replayed', async () => {
  const app = open()
  expect(await (await app.request('/dead-letters/1', { method: 'DELETE' })).json()).toEqual({ status: 'ok' })
  expect((await get('/dead-letters/1')).status).toBe(404)
  const replay = await app.request('/dead-letters/1/replay', { method: 'POST' })
  expect([replay.status, await replay.json()]).toMatchObject([409, { status: 'Dead letter already deleted' }])
})

test('an unknown dead letter is not found', async () => {
  const app = open()
  for (const [method, path] of [
    ['GET', '/dead-letters/9'],
    ['POST', '/dead-letters/9/replay'],
    ['DELETE', '/dead-letters/9'],
  ] as const) {
    const response = await app.request(path, { method })
    const body = { sequence: 9, status: 'Dead letter not found', requestId: response.headers.get('x-request-id') }
    expect([response.status, await response.json()]).toEqual([404, body])
  }
})

describe('every route', () => {
  const routes = [
    ['GET', '/dead-letters'],
    ['GET', '/dead-letters/1'],
    ['POST', '/dead-letters/1/replay'],
    ['DELETE', '/dead-letters/1'],
  ] as const

  test.each(routes)('requires the write token: %s %s', async (method, path) => {
    const app = open({ writeToken: toWriteToken('secret') })
    await expectProblem(await app.request(path, { method }), 401)
    const headers = { authorization: 'Bearer secret' }
    expect((await app.request(path, { method, headers })).status).toBe(200)
  })

  test('shares a limit of 8 requests in flight, and returns 503 beyond it', async () => {
    const done = Promise.withResolvers<undefined>()
    const app = open({ deadLetters: { get: () => done.promise } })
    const first = Array.from({ length: 8 }, () => app.request('/dead-letters/9'))
    for (const [method, path] of routes) await expectProblem(await app.request(path, { method }), 503)
    done.resolve(undefined)
    for (const response of await Promise.all(first)) expect(response.status).toBe(404)
    expect((await app.request('/dead-letters')).status).toBe(200)
  })

  test.each(routes)('returns 503 while the log is down: %s %s', async (method, path) => {
    const fail = () => Promise.reject(new UnavailableError('the log is unavailable'))
    const app = open({ deadLetters: { list: fail, get: fail, replay: fail, delete: fail } })
    await expectProblem(await app.request(path, { method }), 503)
  })
})
