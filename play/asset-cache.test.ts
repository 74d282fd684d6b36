import { describe, expect, test, vi } from 'vitest'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createTestRequestContext } from '../shared/testing/test-service.ts'
import { type CacheOutcome, createAssetCache } from './asset-cache.ts'

const TTL_MS = 1_000
/** The age from which a read reloads a value in the background. */
const REFRESH_MS = 900
const fresh = (id: string, version: number) => ({ state: 'fresh', value: { id, version } })
const stale = (id: string, version: number) => ({ state: 'stale', value: { id, version } })
const absent = { state: 'absent' }
const failed = { state: 'failed', error: new Error('down') }

test('concurrent requests for a value share one load', async () => {
  const { get, owner } = setUp()
  const reads = Array.from({ length: 100 }, () => get('a'))
  expect(await Promise.all(reads)).toEqual(Array(100).fill(fresh('a', 1)))
  expect(owner.loads).toEqual(['a'])
})

test('each id is loaded separately', async () => {
  const { get, owner } = setUp()
  expect(await Promise.all([get('a'), get('b')])).toEqual([fresh('a', 1), fresh('b', 1)])
  expect(owner.loads).toEqual(['a', 'b'])
})

test('a load gets the context of the request that triggered it', async () => {
  const { cache, owner } = setUp()
  await Promise.all(['first', 'second'].map((id) => cache.get('a', createTestRequestContext(id))))
  expect(owner.requestIds).toEqual(['first'])
})

test('a value is served from the cache until its TTL expires', async () => {
  const { get, owner } = setUp()
  await get('a')
  owner.version = 2
  await vi.advanceTimersByTimeAsync(REFRESH_MS - 1)
  expect(await get('a')).toEqual(fresh('a', 1))
  expect(owner.loads).toEqual(['a'])
  await vi.advanceTimersByTimeAsync(TTL_MS - REFRESH_MS + 2)
  expect(await get('a')).toEqual(fresh('a', 2))
  expect(owner.loads).toEqual(['a', 'a'])
})

describe('in the last tenth of the TTL', () => {
  test('reads return the value without waiting, and the first one reloads it', async () => {
    const { get, owner, outcomes } = setUp()
    await get('a')
    const slow = Promise.withResolvers<void>()
    owner.ready = slow.promise
    owner.version = 2
    await vi.advanceTimersByTimeAsync(REFRESH_MS)
    expect(await Promise.all([get('a'), get('a')])).toEqual([fresh('a', 1), fresh('a', 1)])
    slow.resolve()
    await vi.advanceTimersByTimeAsync(0)
    expect(await get('a')).toEqual(fresh('a', 2))
    expect(owner.loads).toEqual(['a', 'a'])
    expect(outcomes).toEqual(['miss', 'hit', 'hit', 'hit'])
  })

  test("the reload has the request id, but is not part of the request's trace", async () => {
    const { cache, owner } = setUp()
    await cache.get('a', createTestRequestContext('first'))
    await vi.advanceTimersByTimeAsync(REFRESH_MS)
    const second = createTestRequestContext('second')
    await cache.get('a', second)
    expect(owner.requestIds).toEqual(['first', 'second'])
    expect(owner.traceIds.at(-1)).not.toBe(second.span.traceId)
  })

  test('a reload that takes longer than the TTL is shared by the reads that wait for it', async () => {
    const { get, owner } = setUp()
    await get('a')
    const slow = Promise.withResolvers<void>()
    owner.ready = slow.promise
    owner.version = 2
    await vi.advanceTimersByTimeAsync(REFRESH_MS)
    await get('a')
    await vi.advanceTimersByTimeAsync(TTL_MS - REFRESH_MS + 1)
    const reading = get('a')
    slow.resolve()
    expect(await reading).toEqual(fresh('a', 2))
    expect(owner.loads).toEqual(['a', 'a'])
  })

  test('a failed reload keeps the value fresh until the TTL expires', async () => {
    const { get, owner } = setUp()
    await get('a')
    owner.isDown = true
    await vi.advanceTimersByTimeAsync(REFRESH_MS)
    await get('a')
    await vi.advanceTimersByTimeAsync(TTL_MS - REFRESH_MS)
    expect(await get('a')).toEqual(fresh('a', 1))
    expect(owner.loads).toEqual(['a', 'a'])
    await vi.advanceTimersByTimeAsync(1)
    expect(await get('a')).toEqual(stale('a', 1))
    owner.isDown = false
    await vi.advanceTimersByTimeAsync(2)
    expect(await get('a')).toEqual(fresh('a', 1))
  })

  test('a reload removes an asset that the upstream no longer has', async () => {
    const { get, owner } = setUp()
    await get('a')
    owner.isMissing = true
    await vi.advanceTimersByTimeAsync(REFRESH_MS)
    await get('a')
    await vi.advanceTimersByTimeAsync(0)
    owner.isDown = true
    expect(await get('a')).toEqual(failed)
  })

  test.each(['expire', 'expireAll'] as const)('%s() discards the value and its reload', async (expire) => {
    const { cache, get, owner } = setUp()
    await get('a')
    const slow = Promise.withResolvers<void>()
    owner.ready = slow.promise
    await vi.advanceTimersByTimeAsync(REFRESH_MS)
    await get('a')
    cache[expire]('a')
    const overtaken = owner.ready
    owner.ready = Promise.resolve()
    owner.version = 2
    expect(await get('a')).toEqual(fresh('a', 2))
    slow.resolve()
    await overtaken
    await vi.advanceTimersByTimeAsync(2)
    owner.isDown = true
    expect(await get('a')).toEqual(fresh('a', 2))
  })
})

test('values that are loaded together do not expire together', async () => {
  const draws = [0, 0.5, 1]
  const { get, owner } = setUp({ random: () => draws.shift() ?? 0 })
  await Promise.all(['a', 'b', 'c'].map(get))
  for (const loads of [['c'], ['b'], ['a']]) {
    owner.loads.length = 0
    await vi.advanceTimersByTimeAsync(loads[0] === 'c' ? 0.8 * REFRESH_MS : 0.1 * TTL_MS)
    for (const id of ['a', 'b', 'c']) await get(id)
    expect(owner.loads).toEqual(loads)
  }
})

test.each([0, 0.5, 1_004.999])('a value with a TTL of %d ms expires', async (ttlMs) => {
  const { get, owner } = setUp({ ttlMs })
  await get('a')
  owner.version = 2
  await vi.advanceTimersByTimeAsync(ttlMs + 2)
  expect(await get('a')).toEqual(fresh('a', 2))
})

test('the least recently used value is evicted when the cache is full', async () => {
  const { get, owner } = setUp({ max: 2 })
  for (const id of ['a', 'b', 'c', 'a']) await get(id)
  expect(owner.loads).toEqual(['a', 'b', 'c', 'a'])
})

describe('while the upstream is down', () => {
  test('each read of an uncached value fails', async () => {
    const { get, owner } = setUp()
    owner.isDown = true
    expect(await get('a')).toEqual(failed)
    expect(await get('a')).toEqual(failed)
    owner.isDown = false
    expect(await get('a')).toEqual(fresh('a', 1))
  })

  test('a failed load serves the stale value, however old it is', async () => {
    const { get, owner } = setUp()
    await get('a')
    owner.isDown = true
    await vi.advanceTimersByTimeAsync(1_000 * TTL_MS)
    expect(await get('a')).toEqual(stale('a', 1))
    await vi.advanceTimersByTimeAsync(1_000 * TTL_MS)
    expect(await get('a')).toEqual(stale('a', 1))
  })

  test('the requests in one burst share one load attempt, and the next burst retries', async () => {
    const { get, owner } = setUp()
    await get('a')
    owner.isDown = true
    await vi.advanceTimersByTimeAsync(TTL_MS + 1)
    expect(await Promise.all([get('a'), get('a')])).toEqual([stale('a', 1), stale('a', 1)])
    expect(await get('a')).toEqual(stale('a', 1))
    expect(owner.loads).toHaveLength(2)
    owner.isDown = false
    await vi.advanceTimersByTimeAsync(2)
    expect(await get('a')).toEqual(fresh('a', 1))
  })
})

describe('an asset that the upstream does not have', () => {
  test('is absent, and each read tries to load it', async () => {
    const { get, owner } = setUp()
    owner.isMissing = true
    expect(await get('a')).toEqual(absent)
    owner.isMissing = false
    expect(await get('a')).toEqual(fresh('a', 1))
  })

  test('does not reappear when the upstream goes down', async () => {
    const { get, owner } = setUp()
    await get('a')
    await vi.advanceTimersByTimeAsync(TTL_MS + 1)
    owner.isMissing = true
    expect(await Promise.all([get('a'), get('a')])).toEqual([absent, absent])
    owner.isDown = true
    expect(await get('a')).toEqual(failed)
  })
})

describe('expiring', () => {
  test('one value reloads only that value', async () => {
    const { cache, get, owner } = setUp()
    await Promise.all([get('a'), get('b')])
    owner.version = 2
    cache.expire('a')
    cache.expire('never loaded')
    expect(await get('a')).toEqual(fresh('a', 2))
    expect(await get('b')).toEqual(fresh('b', 1))
  })

  test('all values reloads every value', async () => {
    const { cache, get, owner } = setUp()
    await Promise.all([get('a'), get('b')])
    owner.version = 2
    cache.expireAll()
    expect(await Promise.all([get('a'), get('b')])).toEqual([fresh('a', 2), fresh('b', 2)])
  })

  test('keeps the old value as a fallback while the upstream is down', async () => {
    const { cache, get, owner } = setUp()
    await get('a')
    owner.isDown = true
    cache.expire('a')
    expect(await get('a')).toEqual(stale('a', 1))
    cache.expireAll()
    expect(await get('a')).toEqual(stale('a', 1))
  })

  describe.each(['expire', 'expireAll'] as const)('with %s() during', (expire) => {
    test.each([
      ['the first load', false],
      ['a reload', true],
    ])('%s discards the result of the load', async (_, isReload) => {
      const { cache, get, owner } = setUp()
      if (isReload) await get('a')
      await vi.advanceTimersByTimeAsync(TTL_MS + 1)
      const reading = get('a')
      cache[expire]('a')
      expect(await reading).toEqual(fresh('a', 1))
      owner.version = 2
      await vi.advanceTimersByTimeAsync(2)
      expect(await get('a')).toEqual(fresh('a', 2))
    })

    test.each([
      ['the first load', false],
      ['a reload', true],
    ])('%s of an asset that was deleted leaves nothing to serve', async (_, isReload) => {
      const { cache, get, owner } = setUp()
      if (isReload) await get('a')
      await vi.advanceTimersByTimeAsync(TTL_MS + 1)
      owner.isMissing = true
      const reading = get('a')
      cache[expire]('a')
      expect(await reading).toEqual(absent)
      owner.isDown = true
      expect(await get('a')).toEqual(failed)
    })
  })
})

test('a load that fails after a later load has succeeded keeps the later value', async () => {
  const { cache, get, owner } = setUp()
  const slow = Promise.withResolvers<void>()
  owner.ready = slow.promise
  const overtaken = get('a')
  cache.expire('a')
  owner.ready = Promise.resolve()
  expect(await get('a')).toEqual(fresh('a', 1))
  owner.isDown = true
  slow.resolve()
  expect(await overtaken).toEqual(failed)
  expect(await get('a')).toEqual(fresh('a', 1))
})

test('a load that finds no asset after a later load has succeeded keeps the later value', async () => {
  const { cache, get, owner } = setUp()
  owner.isMissing = true
  const slow = Promise.withResolvers<void>()
  owner.ready = slow.promise
  const overtaken = get('a')
  owner.isMissing = false
  owner.ready = Promise.resolve()
  cache.expire('a')
  expect(await get('a')).toEqual(fresh('a', 1))
  owner.isMissing = true
  slow.resolve()
  expect(await overtaken).toEqual(absent)
  owner.isDown = true
  expect(await get('a')).toEqual(fresh('a', 1))
})

describe('a read reports', () => {
  test('a hit if the cached value is fresh, and a miss if the read loads the value', async () => {
    const { get, outcomes } = setUp()
    await get('a')
    expect(outcomes).toEqual(['miss'])
    await get('a')
    expect(outcomes).toEqual(['miss', 'hit'])
    await vi.advanceTimersByTimeAsync(TTL_MS + 1)
    await get('a')
    expect(outcomes).toEqual(['miss', 'hit', 'miss'])
  })

  test("a miss if it shared another read's load", async () => {
    const { get, outcomes } = setUp()
    await Promise.all([get('a'), get('a')])
    expect(outcomes).toEqual(['miss', 'miss'])
  })

  test('a miss if the upstream has no such asset', async () => {
    const { get, outcomes, owner } = setUp()
    owner.isMissing = true
    await get('a')
    expect(outcomes).toEqual(['miss'])
  })

  test('stale if the value is stale, whether or not the read tried to load it', async () => {
    const { get, outcomes, owner } = setUp()
    await get('a')
    owner.isDown = true
    await vi.advanceTimersByTimeAsync(TTL_MS + 1)
    await get('a')
    await get('a')
    expect(outcomes).toEqual(['miss', 'stale', 'stale'])
  })

  test('an error if the load failed and nothing is cached', async () => {
    const { get, outcomes, owner } = setUp()
    owner.isDown = true
    await get('a')
    expect(outcomes).toEqual(['error'])
  })

  test('a miss if the asset is absent, even in the tick in which the load settles', async () => {
    const { get, outcomes, owner } = setUp()
    owner.isMissing = true
    const first = get('a')
    const later: Promise<unknown>[] = []
    for (let microtasks = 0; microtasks < 20; microtasks += 1) {
      later.push(get('a'))
      await Promise.resolve()
    }
    await Promise.all([first, ...later])
    expect(new Set(outcomes)).toEqual(new Set(['miss']))
  })
})

/** A cache with versioned values, and a record of its loads and read outcomes. */
function setUp({ ttlMs = TTL_MS, max = 10, random = (): number => 0 } = {}) {
  useFakeClock()
  const loads: string[] = []
  const requestIds: string[] = []
  const traceIds: string[] = []
  const outcomes: CacheOutcome[] = []
  const owner = { version: 1, isDown: false, isMissing: false, ready: Promise.resolve(), loads, requestIds, traceIds }
  const cache = createAssetCache({
    ttlMs,
    max,
    random,
    async load(id, { requestId, span }) {
      loads.push(id)
      requestIds.push(requestId)
      traceIds.push(span.traceId)
      const { version } = owner
      await owner.ready
      if (owner.isDown) throw failed.error
      return owner.isMissing ? undefined : { id, version }
    },
    onRead: (outcome) => outcomes.push(outcome),
  })
  return { owner, cache, outcomes, get: (id: string) => cache.get(id, createTestRequestContext()) }
}
