import { describe, expect, test, vi } from 'vitest'
import { type CallOptions, type ServiceResponse, UpstreamError } from '../shared/client/service-client.ts'
import { EventBatch } from '../shared/contracts/event-batch.ts'
import { emptyBatch } from '../shared/event-log/batch-builder.ts'
import type { LogBatch } from '../shared/event-log/event-log.ts'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import type { TraceContext } from '../shared/tracing/trace-context.ts'
import { nonRecordingSpan, type Tracing } from '../shared/tracing/tracing.ts'
import { createReportingClient } from './reporting-client.ts'

const never = new AbortController().signal
const view = { id: '1', assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00Z' }
const batch: LogBatch = {
  ...emptyBatch({ incarnation: 'log', after: 3, first: 1 }),
  through: 5,
  views: [view],
  messages: [{ sequence: 4, views: 1, at: '2026-11-20T21:00:00.000Z' }],
  skipped: [],
  deadLetters: 1,
  pending: 2,
}

describe('the position', () => {
  test('is read from reporting', async () => {
    const { calls, client } = setUp({ status: 200, body: { stream: 'log', sequence: 7 } })
    expect(await client.position(never)).toEqual({ incarnation: 'log', sequence: 7 })
    expect(calls.map(({ path }) => path)).toEqual(['/events/position'])
  })

  test('is undefined if reporting has counted nothing', async () => {
    expect(await setUp({ status: 200, body: null }).client.position(never)).toBeUndefined()
  })

  test('in the previous incarnation is sent with a batch', async () => {
    const { calls, client } = setUp({ status: 200, body: { stream: 'log', sequence: 5 } })
    await client.count({ ...batch, leaving: { incarnation: 'old', sequence: 9 } }, never)
    expect(calls).toMatchObject([{ body: { leaving: { stream: 'old', sequence: 9 } } }])
  })

  test.each([
    [404, null],
    [200, {}],
    [200, { stream: '', sequence: 1 }],
  ])('is rejected with an UpstreamError if reporting returns %i %j', async (status, body) => {
    await expect(setUp({ status, body }).client.position(never)).rejects.toThrow(UpstreamError)
  })
})

describe('a prepared batch', () => {
  test('is sent with the same body as an unprepared one', async () => {
    const { calls, client } = setUp({ status: 200, body: { stream: 'log', sequence: 5 } })
    expect(await client.count(batch, never)).toEqual({ outcome: 'counted' })
    client.prepare(batch)
    expect(await client.count(batch, never)).toEqual({ outcome: 'counted' })
    expect(calls.map(({ body }) => (body instanceof Uint8Array ? JSON.parse(String(body)) : body))).toEqual([
      calls[0]?.body,
      calls[0]?.body,
    ])
    expect(calls[1]?.body).toBeInstanceOf(Uint8Array)
  })

  test('is not sent instead of another batch', async () => {
    const { calls, client } = setUp({ status: 200, body: { stream: 'log', sequence: 5 } })
    client.prepare({ ...batch, through: 9 })
    await client.count(batch, never)
    expect(calls).toMatchObject([{ body: { through: 5 } }])
  })
})

describe('a batch', () => {
  test.each([
    [5, true, { outcome: 'counted' }],
    [6, true, { outcome: 'conflict', position: { incarnation: 'log', sequence: 6 } }],
    [5, undefined, { outcome: 'conflict', position: { incarnation: 'log', sequence: 5 } }],
  ] as const)(
    'conflicting with the position %i is counted only if an earlier attempt counted it (retry: %s)',
    async (sequence, isRetry, expected) => {
      const body = { status: 'Position mismatch', position: { stream: 'log', sequence }, requestId: '1' }
      const { client } = setUp({ status: 409, body, ...(isRetry && { isRetry }) })
      expect(await client.count(batch, never)).toEqual(expected)
    },
  )

  test('is sent with its range, its views and the end of the log', async () => {
    const { calls, client } = setUp({ status: 200, body: { stream: 'log', sequence: 5 } })
    expect(await client.count(batch, never)).toEqual({ outcome: 'counted' })
    expect(calls).toMatchObject([
      { path: '/events', body: { stream: 'log', after: 3, through: 5, views: [view], end: 7 } },
    ])
    expect(EventBatch.safeParse(calls[0]?.body)).toMatchObject({ success: true })
  })

  test.each([
    [
      { stream: 'log', sequence: 7 },
      { incarnation: 'log', sequence: 7 },
    ],
    [null, undefined],
  ])('that conflicts with the position %j returns that position', async (position, expected) => {
    const { client } = setUp({ status: 409, body: { status: 'Position mismatch', position, requestId: 'request-1' } })
    expect(await client.count(batch, never)).toEqual({ outcome: 'conflict', position: expected })
  })

  test.each([
    [200, {}],
    [202, { stream: 'log', sequence: 5 }],
    [401, { status: 'Unauthorized' }],
    [429, { status: 'Too many requests' }],
    [409, { status: 'Conflict' }],
  ])('causes an UpstreamError if reporting returns %i %j', async (status, body) => {
    await expect(setUp({ status, body }).client.count(batch, never)).rejects.toThrow(UpstreamError)
  })

  test.each([400, 413, 422])(
    'that reporting refuses with a %i is invalid, and the reason is returned',
    async (status) => {
      const errors = [{ path: 'views.0.id', message: 'Too big' }]
      const { client } = setUp({ status, body: { status: 'Invalid request', errors, requestId: 'request-1' } })
      const reason = `reporting responded ${status} Invalid request: views.0.id Too big`
      expect(await client.count(batch, never)).toEqual({ outcome: 'invalid', reason })
    },
  )

  test('refused because of watch time is sent again without reports, whose serials are sent as rejected', async () => {
    const report = {
      viewId: '1',
      assetId: 'a',
      userId: 'u',
      seconds: 31,
      sequence: 5,
      index: 0,
      producer: 'p',
      serial: 8,
    }
    const messages = [...batch.messages, { sequence: 5, views: 0, at: '2026-11-20T21:00:01.000Z' }]
    const { calls, client } = setUp({ status: 400, body: { status: 'Invalid request', requestId: 'request-1' } })
    const sent = { ...batch, views: [{ ...view, duration: 20 }], watched: [report], messages }
    expect(await client.count(sent, never)).toMatchObject({ outcome: 'invalid' })
    expect(calls.map(({ body }) => EventBatch.safeParse(body).data)).toMatchObject([
      { views: [{ id: '1', duration: 20 }], watched: [report], messages },
      { views: [view], messages: batch.messages, rejected: [{ producer: 'p', from: 8, to: 8, sequence: 5 }] },
    ])
    expect(calls[1]?.body).not.toHaveProperty('watched')
    expect(calls[1]?.body).not.toHaveProperty('views.0.duration')
  })

  test('continues the first recorded trace, links to the others, and ends each span, even on failure', async () => {
    for (const status of [200, 500]) {
      const { calls, client, ended } = setUp({ status, body: { stream: 'log', sequence: 5 } })
      const traces: TraceContext[] = ['one', 'two', 'three'].map((traceparent) => ({
        traceparent,
        tracestate: undefined,
      }))
      await client.count({ ...batch, traces }, never).catch(() => undefined)
      const { span, links } = calls[0]?.options ?? {}
      expect(span?.traceparent).toBe('process one')
      expect(links?.map(({ traceparent }) => traceparent)).toEqual(['process two', 'process three'])
      expect(ended).toEqual(['one', 'two', 'three'])
    }
  })
})

describe('a report', () => {
  const report = { end: { incarnation: 'log', sequence: 9 }, counted: 5, oldest: new Date('2026-11-20T21:00:00Z') }

  test('is a batch without views that reports the end of the log, and returns the position', async () => {
    const { calls, client } = setUp({ status: 200, body: { stream: 'log', sequence: 7 } })
    expect(await client.report(report, never)).toEqual({ incarnation: 'log', sequence: 7 })
    const oldest = '2026-11-20T21:00:00.000Z'
    const body = { stream: 'log', after: 5, through: 5, views: [], end: 9, oldest }
    expect(calls).toMatchObject([{ path: '/events', body }])
    expect(EventBatch.safeParse(calls[0]?.body).success).toBe(true)
  })

  test('is replaced by a read of the position if a reporting instance from the previous release refuses it', async () => {
    const { calls, client } = setUp({ status: 400, body: { status: 'Invalid request', requestId: 'request-1' } })
    await expect(client.report(report, never)).rejects.toThrow(UpstreamError)
    expect(calls.map(({ path }) => path)).toEqual(['/events', '/events/position'])
  })
})

test.each(['position', 'count'] as const)('%s() ends when its signal aborts, or after five seconds', async (method) => {
  useFakeClock()
  const { calls, client } = setUp({ status: 200, body: { stream: 'log', sequence: 5 } })
  const stop = new AbortController()
  const call = () => (method === 'count' ? client.count(batch, stop.signal) : client.position(stop.signal))
  await call()
  await vi.advanceTimersByTimeAsync(4_999)
  expect(calls[0]?.options.signal.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(calls[0]?.options.signal.aborted).toBe(true)
  await call()
  expect(calls[1]?.options.signal.aborted).toBe(false)
  stop.abort()
  expect(calls[1]?.options.signal.aborted).toBe(true)
})

/** A client for a fake reporting service that always returns this response, or throws if its status is 500 or above. */
function setUp(response: ServiceResponse) {
  const calls: { path: string; body?: unknown; options: CallOptions }[] = []
  const ended: (string | undefined)[] = []
  async function respond() {
    if (response.status >= 500) throw new UpstreamError(`returned ${response.status}`)
    return response
  }
  const tracing: Pick<Tracing, 'start'> = {
    start: (_, { traceparent }) => ({
      ...nonRecordingSpan(String(traceparent), `process ${traceparent}`, undefined),
      end: () => void ended.push(traceparent),
    }),
  }
  const client = createReportingClient(
    {
      get(path, options) {
        calls.push({ path, options })
        return respond()
      },
      post(path, body, options) {
        calls.push({ path, body, options })
        return respond()
      },
    },
    tracing,
  )
  return { calls, client, ended }
}
