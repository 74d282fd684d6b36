import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { CdnUrl } from '../shared/contracts/cdn-url.ts'
import type { Metadata } from '../shared/contracts/metadata.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import { createTestRequestContext } from '../shared/testing/test-service.ts'
import { createAggregator } from './aggregate.ts'
import type { Cached } from './asset-cache.ts'
import type { LookedUp } from './count-lookup.ts'

const metadata: Metadata = { id: 'a', title: 'Alien', genre: 'horror', summary: '' }
const cdnUrl: CdnUrl = { id: 'a', url: 'path/to/a.mp4' }
const counts: LookedUp = { assetviews: 7, userviews: 2, producer: 'p' }
const absent = { state: 'absent' } as const
const failed = { state: 'failed', error: new Error('the owner is down') } as const

test('a play aggregates the data from all upstreams', async () => {
  const { asset, counting } = (await setUp().aggregate()) ?? {}
  expect(asset).toEqual({ metadata, cdnUrl, degraded: [] })
  expect(await counting).toEqual(counts)
})

test("all upstreams are called in parallel, with the request's context", async () => {
  const content = Promise.withResolvers<Cached<Metadata>>()
  const { aggregate, calls } = setUp({ metadata: () => content.promise })
  const aggregating = aggregate()
  await turn()
  expect(calls).toEqual([
    { upstream: 'reporting', play: { assetId: 'a', userId: 'u' }, requestId: 'request-1' },
    { upstream: 'metadata', id: 'a', requestId: 'request-1' },
    { upstream: 'cdnurl', id: 'a', requestId: 'request-1' },
  ])
  content.resolve({ state: 'fresh', value: metadata })
  await aggregating
})

describe.each(['metadata', 'cdnurl'] as const)('if %s', (owner) => {
  const other = owner === 'metadata' ? 'cdnurl' : 'metadata'

  test('has stale data, the upstream is listed as degraded', async () => {
    const { aggregate } = setUp({ [owner]: stale[owner] })
    expect((await aggregate())?.asset).toEqual({ metadata, cdnUrl, degraded: [owner] })
  })

  test('lacks the asset, the aggregator returns undefined, even if the other upstream is down', async () => {
    expect(await setUp({ [owner]: async () => absent }).aggregate()).toBeUndefined()
    expect(await setUp({ [owner]: async () => absent, [other]: async () => failed }).aggregate()).toBeUndefined()
  })

  test('is down and its data is not cached, the aggregator throws UnavailableError', async () => {
    const aggregating = setUp({ [owner]: async () => failed }).aggregate()
    await expect(aggregating).rejects.toThrow(UnavailableError)
    await expect(aggregating).rejects.toMatchObject({ cause: failed.error })
  })
})

test('with all upstreams down, cached data is served, and the counts are undefined', async () => {
  const { asset, counting } = (await setUp({ ...stale, counts: undefined }).aggregate()) ?? {}
  expect(asset).toEqual({ metadata, cdnUrl, degraded: ['metadata', 'cdnurl'] })
  expect(await counting).toBeUndefined()
})

test('the asset does not wait for the counts', async () => {
  const { aggregate } = setUp({ counting: new Promise(() => {}) })
  expect((await aggregate())?.asset).toEqual({ metadata, cdnUrl, degraded: [] })
})

const fresh = {
  metadata: async (): Promise<Cached<Metadata>> => ({ state: 'fresh', value: metadata }),
  cdnurl: async (): Promise<Cached<CdnUrl>> => ({ state: 'fresh', value: cdnUrl }),
}
const stale: typeof fresh = {
  metadata: async () => ({ state: 'stale', value: metadata }),
  cdnurl: async () => ({ state: 'stale', value: cdnUrl }),
}

type Upstreams = typeof fresh & { counts: LookedUp | undefined; counting?: Promise<undefined> }

/** An aggregator whose upstreams return fresh data unless overridden, and a record of the calls to the upstreams. */
function setUp(overrides: Partial<Upstreams> = {}) {
  const upstreams: Upstreams = { ...fresh, counts, ...overrides }
  const calls: object[] = []
  const aggregate = createAggregator({
    metadata: {
      get(id, { requestId }) {
        calls.push({ upstream: 'metadata', id, requestId })
        return upstreams.metadata()
      },
    },
    cdnUrls: {
      get(id, { requestId }) {
        calls.push({ upstream: 'cdnurl', id, requestId })
        return upstreams.cdnurl()
      },
    },
    async lookUpCounts(play, { requestId }) {
      calls.push({ upstream: 'reporting', play, requestId })
      return upstreams.counting ?? upstreams.counts
    },
  })
  return { calls, aggregate: () => aggregate({ assetId: 'a', userId: 'u' }, createTestRequestContext('request-1')) }
}
