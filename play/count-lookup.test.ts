import { setImmediate as turn } from 'node:timers/promises'
import { pino } from 'pino'
import { describe, expect, test, vi } from 'vitest'
import { type CallOptions, type ServiceResponse, UpstreamError } from '../shared/client/service-client.ts'
import type { LookupBehind } from '../shared/contracts/counting.ts'
import { type CountLookup, LookedUpCounts } from '../shared/contracts/view-counts.ts'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createTestRequestContext } from '../shared/testing/test-service.ts'
import { nonRecordingSpan, type RequestContext, type Span } from '../shared/tracing/tracing.ts'
import { createCountLookup } from './count-lookup.ts'

const TIMEOUT_MS = 500
const PRODUCER = 'p/1'

test("a play gets the counts for its asset and its user, looked up with the request's context", async () => {
  const { calls, counts, lookUp } = setUp()
  counts.assets = { a: 7 }
  counts.users = { u: 2 }
  expect(await lookUp('a', 'u', createTestRequestContext('request-1'))).toEqual({
    assetviews: 7,
    userviews: 2,
    producer: PRODUCER,
  })
  expect(calls).toMatchObject([
    {
      path: '/events/lookup?as=lists&producer=p%2F1',
      body: { assets: ['a'], users: ['u'] },
      options: { requestId: 'request-1', idempotent: true },
    },
  ])
})

test('the counts of an asset and a user without views are 0', async () => {
  expect(await setUp().lookUp()).toEqual({ assetviews: 0, userviews: 0, producer: PRODUCER })
})

test('counts are looked up again for each play', async () => {
  const { counts, lookUp } = setUp()
  for (const views of [0, 1, 2]) {
    Object.assign(counts, { assets: { a: views }, users: { u: views } })
    expect(await lookUp('a', 'u')).toEqual({ assetviews: views, userviews: views, producer: PRODUCER })
  }
})

test("the lookup returns the last serial of this process's producer that the counts include", async () => {
  const { lookUp, respond } = setUp()
  respond({ status: 200, body: { assets: [7], users: [2], serial: 41 } })
  expect(await lookUp()).toEqual({ assetviews: 7, userviews: 2, producer: PRODUCER, serial: 41 })
})

test('counts keyed by id, the format of the previous reporting release, are accepted', async () => {
  const { lookUp, respond } = setUp()
  respond({ status: 200, body: { assets: { a: 7 }, users: { u: 2 } } })
  expect(await lookUp('a', 'u')).toEqual({ assetviews: 7, userviews: 2, producer: PRODUCER })
})

describe('a play with an idempotency key', () => {
  const original = { assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00.000Z' }

  test('gets the counted play with the same event id', async () => {
    const { calls, counts, lookUpKeyed } = setUp()
    Object.assign(counts, { assets: { a: 7 }, users: { u: 2 }, events: { 'id-1': original } })
    expect(await lookUpKeyed('id-1')).toEqual({ assetviews: 7, userviews: 2, producer: PRODUCER, original })
    expect(await lookUpKeyed('id-2')).toEqual({ assetviews: 7, userviews: 2, producer: PRODUCER, original: undefined })
    expect(calls.map(({ body }) => body)).toEqual([
      { assets: ['a'], users: ['u'], events: ['id-1'] },
      { assets: ['a'], users: ['u'], events: ['id-2'] },
    ])
  })

  test('shares a lookup with other plays, which do not get its counted play', async () => {
    const { calls, counts, lookUp, lookUpKeyed } = setUp()
    counts.events = { 'id-1': original }
    const [keyed, , plain] = await Promise.all([lookUpKeyed('id-1'), lookUpKeyed('id-1'), lookUp()])
    expect(calls.map(({ body }) => body)).toEqual([{ assets: ['a'], users: ['u'], events: ['id-1'] }])
    expect(keyed).toHaveProperty('original', original)
    expect(plain).toEqual({ assetviews: 0, userviews: 0, producer: PRODUCER })
  })
})

describe('concurrent plays', () => {
  test('share one request that contains each id once', async () => {
    const { batches, calls, counts, lookUp } = setUp()
    counts.assets = { a: 7 }
    counts.users = { u0: 3, u49: 5 }
    const found = await Promise.all(Array.from({ length: 100 }, (_, n) => lookUp('a', `u${n % 50}`)))
    const users = Array.from({ length: 50 }, (_, n) => `u${n}`)
    expect(calls.map(({ body }) => body)).toEqual([{ assets: ['a'], users }])
    expect(batches).toEqual([100])
    expect(found[50]).toEqual({ assetviews: 7, userviews: 3, producer: PRODUCER })
    expect(found[99]).toEqual({ assetviews: 7, userviews: 5, producer: PRODUCER })
  })

  test('that arrive while a lookup is in flight form the next batch', async () => {
    const { batches, lookUp, hang, recover } = setUp()
    hang()
    const first = lookUp('a', 'u')
    await turn()
    const others = [lookUp('a', 'v'), lookUp('b', 'w')]
    await turn()
    expect(batches).toEqual([1])
    recover()
    await Promise.all([first, ...others])
    expect(batches).toEqual([1, 2])
  })

  test('are looked up at most a thousand at a time', async () => {
    const { batches, lookUp } = setUp()
    await Promise.all(Array.from({ length: 2_001 }, (_, n) => lookUp('a', String(n))))
    expect(batches).toEqual([1_000, 1_000, 1])
  })

  test('are looked up in batches of the given size', async () => {
    const { batches, lookUp } = setUp({ maxPlays: 1 })
    await Promise.all([lookUp(), lookUp()])
    expect(batches).toEqual([1, 1])
  })
})

describe("a batch's trace", () => {
  test('is the first recorded trace, with links to the other recorded traces', async () => {
    const { calls, lookUp } = setUp()
    const plays = ['unseen', 'first', 'second', 'third'].map((name) => createRequest(name, name !== 'unseen'))
    await Promise.all(plays.map((request) => lookUp('a', 'u', request)))
    const { requestId, span, links } = calls[0]?.options ?? {}
    expect({ requestId, trace: span?.traceId }).toEqual({ requestId: 'first', trace: 'first' })
    expect(links?.map(({ traceparent }) => traceparent)).toEqual(['second', 'third'])
  })

  test("is the first play's trace if no trace is recorded", async () => {
    const { calls, lookUp } = setUp()
    await Promise.all(['first', 'second'].map((name) => lookUp('a', 'u', createRequest(name, false))))
    expect(calls[0]?.options).toMatchObject({ requestId: 'first', span: { traceId: 'first' }, links: [] })
  })

  test("has a span for each play's lookup, with its outcome", async () => {
    const { fail, lookUp } = setUp()
    const request = createRequest('first', true)
    await lookUp('a', 'u', request)
    fail()
    await lookUp('a', 'u', request)
    expect(request.span.children).toEqual(['look up counts', 'look up counts'])
    expect(request.span.outcomes).toEqual([{ attributes: { 'batch.size': 1 } }, { error: expect.any(UpstreamError) }])
  })
})

describe('counts are unavailable', () => {
  const invalid: [number, unknown][] = [
    [200, undefined],
    [200, { assets: { a: '1' }, users: { u: 1 } }],
    [200, { assets: { a: -1 }, users: { u: 1 } }],
    [200, { assets: [-1], users: [1] }],
    [200, { assets: [1], users: [] }],
    [200, { assets: [1, 1], users: [1] }],
    [202, { assets: { a: 1 }, users: { u: 1 } }],
    [404, { status: 'Not found' }],
    [413, { status: 'Content too large' }],
    [200, { status: 'Counts are behind', progress: 0.4 }],
  ]

  test.each(invalid)('if reporting returns %i %j', async (status, body) => {
    const { lookUp, respond } = setUp()
    respond({ status, body })
    expect(await lookUp()).toBeUndefined()
  })

  test('if reporting is behind the log, even for a play instance from the previous release', () => {
    const behind: LookupBehind = { status: 'Counts are behind', progress: 0.4 }
    expect(LookedUpCounts.safeParse(behind).success).toBe(false)
  })

  test('while reporting is down, and become available once it recovers', async () => {
    const { fail, lookUp, recover } = setUp()
    fail()
    expect(await lookUp()).toBeUndefined()
    recover()
    expect(await lookUp()).toEqual({ assetviews: 0, userviews: 0, producer: PRODUCER })
  })

  test('while reporting rejects the read token; the rejection and the recovery are each logged once', async () => {
    const { fail, lines, lookUp, recover, respond } = setUp()
    respond({ status: 401, body: { status: 'Unauthorized' } })
    for (let n = 0; n < 3; n += 1) expect(await lookUp()).toBeUndefined()
    fail()
    expect(await lookUp()).toBeUndefined()
    expect(lines).toEqual([expect.stringContaining('reporting rejects count lookups: set the same READ_TOKEN')])
    recover()
    for (let n = 0; n < 3; n += 1) expect(await lookUp()).toBeDefined()
    expect(lines).toEqual([expect.anything(), expect.stringContaining('reporting accepts count lookups again')])
  })

  test('if reporting does not respond within the timeout', async () => {
    useFakeClock()
    const { hang, lookUp } = setUp()
    hang()
    const lookingUp = Promise.all([lookUp('a', 'u'), lookUp('b', 'v')])
    await turn()
    await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 1)
    expect(await Promise.race([lookingUp, 'pending'])).toBe('pending')
    await vi.advanceTimersByTimeAsync(1)
    expect(await lookingUp).toEqual([undefined, undefined])
  })
})

/** A lookup that calls a fake reporting service, and a record of the requests to that service. */
function setUp(options: { maxPlays?: number } = {}) {
  const calls: { path: string; body: unknown; options: CallOptions }[] = []
  const batches: number[] = []
  const lines: string[] = []
  const counts: LookedUpCounts = { assets: {}, users: {} }
  async function normal(_: AbortSignal, { assets, users }: CountLookup): Promise<ServiceResponse> {
    const { events } = counts
    const lists = {
      assets: assets.map((id) => counts.assets[id] ?? 0),
      users: users.map((id) => counts.users[id] ?? 0),
    }
    return { status: 200, body: { ...lists, ...(events && { events }) } }
  }
  let responding: (signal: AbortSignal, ids: CountLookup) => Promise<ServiceResponse> = normal
  let recovered = Promise.withResolvers<void>()
  const lookUpCounts = createCountLookup({
    reporting: {
      post(path, body, options) {
        calls.push({ path, body, options })
        return responding(options.signal, body as CountLookup)
      },
    },
    producer: () => PRODUCER,
    timeoutMs: TIMEOUT_MS,
    log: pino({}, { write: (line) => lines.push(line) }),
    onBatch: (plays) => batches.push(plays),
    ...options,
  })
  return {
    batches,
    calls,
    counts,
    lines,
    lookUp: (assetId = 'a', userId = 'u', request: RequestContext = createTestRequestContext()) =>
      lookUpCounts({ assetId, userId }, request),
    lookUpKeyed: (keyedId: string) => lookUpCounts({ assetId: 'a', userId: 'u', keyedId }, createTestRequestContext()),
    respond(response: ServiceResponse) {
      responding = async () => response
    },
    fail() {
      responding = () => Promise.reject(new UpstreamError('reporting is down'))
    },
    /** Calls hang until the test calls recover(). */
    hang() {
      recovered = Promise.withResolvers()
      responding = (signal) => {
        const { promise, resolve, reject } = Promise.withResolvers<ServiceResponse>()
        signal.addEventListener('abort', () => reject(signal.reason))
        void recovered.promise.then(() => resolve({ status: 200, body: counts }))
        return promise
      }
    },
    recover() {
      responding = normal
      recovered.resolve()
    },
  }
}

/** A request whose span records the names and outcomes of its children. */
function createRequest(name: string, isRecorded: boolean) {
  const children: string[] = []
  const outcomes: unknown[] = []
  const span: Span = { ...nonRecordingSpan(name, name, undefined), isRecorded }
  const child: Span = { ...span, end: (outcome) => void outcomes.push(outcome) }
  return {
    requestId: name,
    span: {
      ...span,
      children,
      outcomes,
      child(name: string) {
        children.push(name)
        return child
      },
    },
  }
}
