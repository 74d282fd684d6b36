import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createTestService } from '../testing/test-service.ts'
import { auditWrites } from './audit-log.ts'
import { createBaseApp } from './base-app.ts'
import { requireWriteToken, toWriteToken } from './write-token.ts'

const TOKEN = 'a-token'
const authorization = `Bearer ${TOKEN}`

function setUp() {
  const lines: Record<string, unknown>[] = []
  const log = pino({}, { write: (line) => lines.push(JSON.parse(line)) })
  const middleware = [auditWrites({ reads: ['/lookup'], internal: ['/batch'] })]
  const app = createBaseApp({ ...createTestService(), log }, { middleware })
    .use(requireWriteToken(toWriteToken(TOKEN)))
    .all('/thing/:id', (c) => c.json({}))
    .post('/lookup', (c) => c.json({}))
    .post('/batch', (c) => c.json({}))
    .post('/conflict', (c) => c.json({}, 409))
  const send = (method: string, path: string, headers: Record<string, string> = { authorization }) =>
    app.request(path, { method, headers: { 'x-request-id': 'request-1', ...headers } })
  return { lines, send }
}

test('each accepted write is logged with the request and the client', async () => {
  const { lines, send } = setUp()
  for (const method of ['POST', 'DELETE']) await send(method, '/thing/1')
  const ids = { requestId: 'request-1', trace_id: expect.any(String), client: expect.any(String) }
  expect(lines).toMatchObject([
    { level: 30, msg: 'write accepted', method: 'POST', path: '/thing/1', status: 200, ...ids },
    { level: 30, msg: 'write accepted', method: 'DELETE', path: '/thing/1', status: 200, ...ids },
  ])
})

test('refused writes are logged once per second, with a count', async () => {
  const { lines, send } = setUp()
  for (const headers of [{}, { authorization: 'Bearer other' }, {}]) await send('POST', '/batch', headers)
  expect(lines).toMatchObject([{ level: 40, msg: 'write refused', path: '/batch', status: 401, times: 1 }])
})

test('a write from a page on another origin is refused and logged', async () => {
  const { lines, send } = setUp()
  expect((await send('POST', '/thing/1', { authorization, 'sec-fetch-site': 'cross-site' })).status).toBe(403)
  expect(lines).toMatchObject([{ msg: 'write refused', status: 403 }])
})

test('reads, writes between services, and writes that change nothing are not logged', async () => {
  const { lines, send } = setUp()
  await send('GET', '/thing/1')
  for (const path of ['/lookup', '/batch', '/conflict']) await send('POST', path)
  expect(lines).toEqual([])
})
