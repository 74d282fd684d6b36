import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import { useFakeClock } from '../testing/fake-clock.ts'
import { createTestService } from '../testing/test-service.ts'
import { createBaseApp } from './base-app.ts'

test.each([
  [999, []],
  [1_000, [{ level: 40, method: 'GET', path: '/takes/1000', status: 200, ms: 1_000, times: 1 }]],
] as const)('a request that takes %d ms logs the warnings %j', async (ms, expected) => {
  const { lines, takes } = setUp('info')
  await takes(ms)
  const slow = lines.filter(({ msg }) => msg === 'slow request')
  expect(slow).toMatchObject(expected)
  expect(slow).toHaveLength(expected.length)
})

test('a slow request is logged with its ids', async () => {
  const { lines, takes } = setUp('info')
  const response = await takes(1_000)
  expect(lines).toMatchObject([
    { requestId: response.headers.get('x-request-id'), trace_id: expect.stringMatching(/^[\da-f]{32}$/) },
  ])
})

test('slow requests are logged at most once per second, with a count', async () => {
  const { lines, app, takes } = setUp('info')
  const concurrent = Array.from({ length: 20 }, () => app.request('/sleeps/1500'))
  await vi.advanceTimersByTimeAsync(1_500)
  await Promise.all(concurrent)
  expect(lines).toMatchObject([{ msg: 'slow request', times: 1 }])
  await takes(1_500)
  expect(lines).toMatchObject([{ times: 1 }, { msg: 'slow request', times: 20 }])
})

test('at debug, each request is logged, even if its slow-request warning is throttled', async () => {
  const { lines, app } = setUp('debug')
  await app.request('/takes/1')
  expect(lines).toMatchObject([
    { level: 20, msg: 'request', method: 'GET', path: '/takes/1', status: 200, ms: 1, requestId: expect.any(String) },
  ])
  const concurrent = ['', ''].map(() => app.request('/sleeps/1500'))
  await vi.advanceTimersByTimeAsync(1_500)
  await Promise.all(concurrent)
  expect(lines.slice(1).map(({ msg }) => msg)).toEqual(['slow request', 'request'])
})

test('at info, requests are not logged one by one', async () => {
  const { lines, takes } = setUp('info')
  await takes(1)
  expect(lines).toEqual([])
})

test('the first request after a minute with requests logs a summary of that minute', async () => {
  const { lines, app, takes } = setUp('info')
  await takes(300)
  await takes(700)
  await takes(200)
  await app.request('/fails')
  await vi.advanceTimersByTimeAsync(58_799)
  await takes(0)
  expect(summaries(lines)).toEqual([])
  await takes(1)
  expect(summaries(lines)).toEqual([{ level: 30, requests: 6, failed: 1, slowestMs: 700, seconds: 60 }])
  await vi.advanceTimersByTimeAsync(90_000)
  await takes(5)
  expect(summaries(lines)).toMatchObject([{}, { requests: 1, failed: 0, slowestMs: 5, seconds: 90.005 }])
})

type Line = Record<string, unknown>

function summaries(lines: Line[]): Line[] {
  return lines
    .filter(({ msg }) => msg === 'requests served')
    .map(({ level, requests, failed, slowestMs, seconds }) => ({ level, requests, failed, slowestMs, seconds }))
}

/** An app with a fake clock. `/takes/N` advances the clock by N ms; `/sleeps/N` waits for the test to do so. */
function setUp(level: 'info' | 'debug') {
  useFakeClock()
  const lines: Line[] = []
  const log = pino({ level }, { write: (line) => lines.push(JSON.parse(line)) })
  const app = createBaseApp({ ...createTestService(), log })
    .get('/takes/:ms', async (c) => {
      await vi.advanceTimersByTimeAsync(Number(c.req.param('ms')))
      return c.body(null)
    })
    .get('/sleeps/:ms', async (c) => {
      await new Promise((resolve) => setTimeout(resolve, Number(c.req.param('ms'))))
      return c.body(null)
    })
    .get('/fails', () => {
      throw new Error('broken')
    })
  return { lines, app, takes: (ms: number) => app.request(`/takes/${ms}`) }
}
