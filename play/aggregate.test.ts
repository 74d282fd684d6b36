import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import type { Invalidation, Invalidations } from '../shared/catalogue/invalidations.ts'
import { type Answer, type CallOptions, type ServiceClient, UpstreamError } from '../shared/client/service-client.ts'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createTestRequestContext, createTestService } from '../shared/testing/test-service.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import { createPlayMetrics } from './metrics.ts'
import { createAggregator } from './aggregate.ts'

const TTL_MS = 5_000
const metadata = { id: 'a', title: 'Alien', genre: 'horror', summary: '' }
const cdnUrl = { id: 'a', url: 'path/to/a.mp4' }
const owners = ['metadata', 'cdnurl'] as const

test('a play is gathered from all three services, asked at once', async () => {
  const { asked, gather, reporting } = open()
  reporting.body = { assets: { a: 7 }, users: { u: 2 } }
  const gathering = gather('a', 'u')
  await turn()
  const requestId = 'request-u'
  expect(asked).toEqual([
    { path: '/content/asset/a', requestId },
    { path: '/url/asset/a', requestId },
    { path: '/events/lookup', requestId, body: { assets: ['a'], users: ['u'] } },
  ])
  expect(await gathering).toEqual({ metadata, cdnUrl, counts: { assetviews: 7, userviews: 2 }, degraded: [] })
})

describe('what an asset is', () => {
  test('is asked once for many waiting plays, and not again while it is fresh', async () => {
    const { gather, timesAsked } = open()
    await Promise.all(Array.from({ length: 100 }, (_, n) => gather('a', String(n))))
    await vi.advanceTimersByTimeAsync(TTL_MS)
    await gather('a')
    expect([timesAsked('/content/asset/a'), timesAsked('/url/asset/a')]).toEqual([1, 1])
    await vi.advanceTimersByTimeAsync(1)
    await gather('a')
    expect([timesAsked('/content/asset/a'), timesAsked('/url/asset/a')]).toEqual([2, 2])
  })

  test('is asked again of the service that says it has changed', async () => {
    const { change, gather, timesAsked } = open()
    await gather('a')
    change({ service: 'metadata', id: 'a' })
    change({ service: 'metadata', id: 'b' })
    await gather('a')
    expect([timesAsked('/content/asset/a'), timesAsked('/url/asset/a')]).toEqual([2, 1])
    change({ service: 'cdnurl', id: 'a' })
    await gather('a')
    expect([timesAsked('/content/asset/a'), timesAsked('/url/asset/a')]).toEqual([2, 2])
  })

  test('is asked again of both where changes may have been missed', async () => {
    const { gap, gather, timesAsked } = open()
    await gather('a')
    gap()
    await gather('a')
    expect([timesAsked('/content/asset/a'), timesAsked('/url/asset/a')]).toEqual([2, 2])
  })

  test.each(['reporting', 'constructor'])('is not touched by what changes in %s', async (service) => {
    const { change, gather, timesAsked } = open()
    await gather('a')
    change({ service, id: 'a' })
    await gather('a')
    expect(timesAsked('/content/asset/a')).toBe(1)
  })
})

describe.each(owners)('while %s is down', (name) => {
  test('what it said last is used, and it is named', async () => {
    const { gather, gap, [name]: owner } = open()
    await gather('a')
    owner.fail()
    gap()
    expect(await gather('a')).toMatchObject({ metadata, cdnUrl, degraded: [name] })
    owner.recover()
    await vi.advanceTimersByTimeAsync(2)
    expect(await gather('a')).toMatchObject({ metadata, cdnUrl, degraded: [] })
  })

  test('what it never said is unavailable', async () => {
    const { gather, [name]: owner } = open()
    owner.fail()
    await expect(gather('a')).rejects.toThrow(UnavailableError)
  })

  test('what the other does not have is not found', async () => {
    const { gather, ...services } = open()
    const other = services[name === 'metadata' ? 'cdnurl' : 'metadata']
    services[name].fail()
    other.answer(404, { id: 'a', status: 'Asset not found' })
    expect(await gather('a')).toBeUndefined()
  })

  test('what it no longer had before does not come back', async () => {
    const { gather, gap, [name]: owner } = open()
    await gather('a')
    owner.answer(404, { id: 'a', status: 'Asset not found' })
    gap()
    expect(await gather('a')).toBeUndefined()
    owner.fail()
    await expect(gather('a')).rejects.toThrow(UnavailableError)
  })

  test('a play does not wait for it any longer than half a second', async () => {
    const { gather, gap, [name]: owner } = open()
    await gather('a')
    owner.hang()
    gap()
    const gathering = gather('a')
    await vi.advanceTimersByTimeAsync(500)
    expect(await gathering).toMatchObject({ degraded: [name] })
  })

  const valid = name === 'metadata' ? metadata : cdnUrl
  const garbage: [number, unknown][] = [
    [200, undefined],
    [200, 'text'],
    [200, { ...valid, id: undefined }],
    [200, { id: 'a', title: '', genre: 'x', summary: '', url: 'javascript:alert(1)' }],
    [302, valid],
    [400, { status: 'Invalid request' }],
    [404, { status: 'Not found' }],
    [429, { status: 'Too many requests' }],
  ]

  test.each(garbage)('it may just as well answer %i %j', async (status, body) => {
    const { gather, gap, [name]: owner } = open()
    await gather('a')
    owner.answer(status, body)
    gap()
    expect(await gather('a')).toMatchObject({ metadata, cdnUrl, degraded: [name] })
  })
})

test('what both owners said last is used while both are down', async () => {
  const { gather, gap, ...services } = open()
  await gather('a')
  for (const name of [...owners, 'reporting'] as const) services[name].fail()
  gap()
  expect(await gather('a')).toEqual({
    metadata,
    cdnUrl,
    counts: undefined,
    degraded: ['metadata', 'cdnurl', 'reporting'],
  })
})

describe('counts', () => {
  test('of all plays that wait are looked up with one request', async () => {
    const { asked, gather, timesAsked } = open()
    await Promise.all(Array.from({ length: 100 }, (_, n) => gather('a', String(n % 50))))
    expect(timesAsked('/events/lookup')).toBe(1)
    expect(asked.at(-1)).toMatchObject({ body: { assets: ['a'], users: { length: 50 } } })
  })

  test('are read anew for each play', async () => {
    const { gather, reporting } = open()
    for (const views of [0, 1, 2]) {
      reporting.body = { assets: { a: views }, users: { u: views } }
      expect(await gather('a', 'u')).toMatchObject({ counts: { assetviews: views, userviews: views } })
    }
  })

  const garbage: [number, unknown][] = [
    [200, undefined],
    [200, { assets: { a: '1' }, users: { u: 1 } }],
    [200, { assets: { a: -1 }, users: { u: 1 } }],
    [202, { assets: { a: 1 }, users: { u: 1 } }],
    [404, { status: 'Not found' }],
    [413, { status: 'Content too large' }],
  ]

  test.each(garbage)('are missing, and reporting named, where it answers %i %j', async (status, body) => {
    const { gather, reporting } = open()
    reporting.answer(status, body)
    expect(await gather('a')).toEqual({ metadata, cdnUrl, counts: undefined, degraded: ['reporting'] })
  })

  test('are missing where reporting is down, and back with it', async () => {
    const { gather, reporting } = open()
    reporting.fail()
    expect(await gather('a')).toMatchObject({ counts: undefined, degraded: ['reporting'] })
    reporting.recover()
    expect(await gather('a')).toMatchObject({ counts: { assetviews: 0, userviews: 0 }, degraded: [] })
  })

  test('are missing where reporting does not answer within half a second', async () => {
    const { gather, reporting } = open()
    reporting.hang()
    const gathering = Promise.all([gather('a'), gather('a')])
    await vi.advanceTimersByTimeAsync(500)
    const expected = { metadata, cdnUrl, counts: undefined, degraded: ['reporting'] }
    expect(await gathering).toEqual([expected, expected])
  })
})

/** The sources over services that do what the test says, and all that was asked of them. */
function open() {
  useFakeClock()
  const asked: { path: string; requestId: string | undefined; body?: unknown }[] = []
  const services = {
    metadata: createFakeService('metadata', metadata, asked),
    cdnurl: createFakeService('cdnurl', cdnUrl, asked),
    reporting: createFakeService('reporting', { assets: { a: 0 }, users: {} }, asked),
  }
  let listener: Parameters<Invalidations['subscribe']> | undefined
  const changes: Invalidations = {
    publish() {},
    subscribe(...callbacks) {
      listener = callbacks
    },
  }
  const { log, metrics } = createTestService()
  const sources = createAggregator({ ...services, changes, ttlMs: TTL_MS, log, metrics: createPlayMetrics(metrics) })
  return {
    ...services,
    asked,
    change: (change: Invalidation) => listener?.[0](change),
    gap: () => listener?.[1](),
    gather: (assetId: string, userId = 'u') =>
      sources.gather({ assetId, userId }, createTestRequestContext(`request-${userId}`)),
    timesAsked: (path: string) => asked.filter((question) => question.path === path).length,
  }
}

function createFakeService(name: string, body: unknown, asked: object[]) {
  const normal = async (): Promise<Answer> => ({ status: 200, body: service.body })
  let respond: (signal: AbortSignal) => Promise<Answer> = normal
  const service = {
    name,
    body,
    fail() {
      respond = () => Promise.reject(new UpstreamError(`${name} is down`))
    },
    hang() {
      respond = (signal) =>
        new Promise((_, reject) => {
          if (signal.aborted) reject(signal.reason)
          signal.addEventListener('abort', () => reject(signal.reason))
        })
    },
    answer(status: number, body: unknown) {
      respond = async () => ({ status, body })
    },
    recover() {
      respond = normal
    },
    get(path: string, { signal, requestId }: CallOptions) {
      asked.push({ path, requestId })
      return respond(signal)
    },
    post(path: string, body: unknown, { signal, requestId }: CallOptions) {
      asked.push({ path, requestId, body })
      return respond(signal)
    },
    stream: () => Promise.reject(new Error('a play has no stream')),
    state: async () => 'up' as const,
    async [Symbol.asyncDispose]() {},
  } satisfies ServiceClient & Record<string, unknown>
  return service
}
