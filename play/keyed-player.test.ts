import { setImmediate as turn } from 'node:timers/promises'
import { HTTPException } from 'hono/http-exception'
import { expect, test, vi } from 'vitest'
import { KEY_MAX_AGE_MS } from '../shared/contracts/view.ts'
import type { KeyedPlay } from '../shared/contracts/view-counts.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createTestRequestContext } from '../shared/testing/test-service.ts'
import type { FoundAsset } from './aggregate.ts'
import type { LookedUp, LookedUpPlay } from './count-lookup.ts'
import { toEventId } from './idempotency-key.ts'
import { createKeyedPlayer } from './keyed-player.ts'
import { recordedIn } from './recorded.test-suite.ts'
import type { IdentifiedPlay } from './recorder.ts'
import type { Recorded } from './spooler.ts'

const ID = toEventId('u', 'k')
const BEFORE: LookedUp = { userviews: 2, assetviews: 7, producer: 'p' }

test('the event id is a version 8 UUID that depends on the user and the key', () => {
  expect(ID).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  const ids = [toEventId('u', 'k'), toEventId('u1', 'k'), toEventId('u', '1k'), toEventId('u', 'k2')]
  expect(new Set(ids).size).toBe(4)
  // Other edges, and other releases, must derive the same id.
  expect(toEventId('8', 'k')).toBe('2ddf4029-891f-8239-805b-e83425cd468a')
})

test('a play is looked up and recorded under the event id derived from its key', async () => {
  const { play, aggregated, recorded, outcomes } = setUp()
  expect(await play()).toMatchObject({ viewId: ID, place: 'log', counts: { userviews: 3, assetviews: 8 } })
  expect(aggregated).toEqual([{ assetId: 'a', userId: 'u', keyedId: ID }])
  expect(recorded).toEqual([{ assetId: 'a', userId: 'u', id: ID, keyed: true }])
  expect(outcomes).toEqual(['recorded'])
})

test('a retry records nothing, whether or not reporting has counted the play', async () => {
  const edge = setUp()
  await edge.play()
  expect(await edge.play()).toMatchObject({ viewId: ID, place: undefined, counts: { userviews: 3, assetviews: 8 } })
  edge.count({ assetId: 'a', userId: 'u' })
  expect(await edge.play()).toMatchObject({ viewId: ID, place: undefined, counts: { userviews: 5, assetviews: 9 } })
  expect(edge.recorded).toHaveLength(1)
  expect(edge.outcomes).toEqual(['recorded', 'retried', 'retried'])
})

test('a retry of a play that another edge recorded records nothing once the play is counted', async () => {
  const edge = setUp()
  edge.count({ assetId: 'a', userId: 'u' })
  expect(await edge.play()).toMatchObject({ viewId: ID, place: undefined, counts: { userviews: 5, assetviews: 9 } })
  expect(edge.recorded).toEqual([])
})

test('a retry is recognized while the counts are unavailable', async () => {
  const edge = setUp()
  await edge.play()
  edge.loseCounts()
  expect(await edge.play()).toMatchObject({ viewId: ID, place: undefined })
  expect(edge.recorded).toHaveLength(1)
})

test.each(['this process', 'reporting'])('a key that %s has seen is refused for another asset', async (place) => {
  const edge = setUp()
  if (place === 'reporting') edge.count({ assetId: 'b', userId: 'u' })
  else await edge.play('b')
  const error = await edge.play().catch((error) => error)
  expect(error).toBeInstanceOf(HTTPException)
  expect(error.status).toBe(422)
  expect(edge.recorded.filter(({ assetId }) => assetId === 'a')).toEqual([])
  expect(edge.outcomes.at(-1)).toBe('reused')
})

test('an event id that another program used for another user is refused', async () => {
  const edge = setUp()
  edge.count({ assetId: 'a', userId: 'v' })
  await expect(edge.play()).rejects.toMatchObject({ status: 422 })
})

test('a retry after 24 hours records another view', async () => {
  useFakeClock()
  const edge = setUp()
  await edge.play()
  edge.count({ assetId: 'a', userId: 'u' })
  await vi.advanceTimersByTimeAsync(KEY_MAX_AGE_MS)
  expect(await edge.play()).toMatchObject({ counts: { userviews: 5, assetviews: 9 } })
  await vi.advanceTimersByTimeAsync(1)
  expect(await edge.play()).toMatchObject({ place: 'log', counts: { userviews: 6, assetviews: 10 } })
  expect(edge.recorded).toHaveLength(2)
})

test('the number of remembered keys is bounded', async () => {
  const edge = setUp({ maxKeys: 2 })
  for (const key of ['1', '2', '3', '3', '1']) await edge.play('a', { key })
  expect(edge.outcomes).toEqual(['recorded', 'recorded', 'recorded', 'retried', 'recorded'])
})

test('a play of an unknown asset returns undefined, and does not use up the key', async () => {
  const edge = setUp()
  edge.assets.delete('a')
  expect(await edge.play()).toBeUndefined()
  expect(await edge.play('b')).toMatchObject({ place: 'log' })
})

test('concurrent retries wait for the first play, and get the same result', async () => {
  const edge = setUp()
  edge.hang()
  const plays = [edge.play(), edge.play(), edge.play()]
  await turn()
  expect(edge.aggregated).toHaveLength(1)
  edge.settle('outbox')
  expect(await Promise.all(plays)).toMatchObject(
    plays.map(() => ({ viewId: ID, place: 'outbox', counts: { userviews: 3, assetviews: 8 }, asset: edge.asset })),
  )
  expect(edge.recorded).toHaveLength(1)
  expect(edge.outcomes).toEqual(['recorded', 'retried', 'retried'])
})

test('if the first play fails, one of the waiting retries is played instead, and the others get its result', async () => {
  const edge = setUp()
  edge.hang()
  const first = edge.play()
  const others = [edge.play(), edge.play()]
  await turn()
  edge.fail()
  await expect(first).rejects.toThrow('the disk is full')
  await turn()
  expect(edge.recorded).toHaveLength(2)
  edge.settle('log')
  expect(await Promise.all(others)).toMatchObject([{ place: 'log' }, { place: 'log' }])
  expect(edge.recorded).toHaveLength(2)
})

test('a retry waits for at most three plays', async () => {
  const edge = setUp()
  edge.hang()
  const plays = Promise.allSettled(Array.from({ length: 5 }, () => edge.play()))
  for (let failures = 0; failures < 3; failures += 1) {
    await turn()
    edge.fail()
    await turn()
  }
  const reasons = (await plays).map((result) => result.status === 'rejected' && result.reason)
  expect(reasons.map((reason) => reason instanceof UnavailableError)).toEqual([false, false, false, true, true])
})

test('a concurrent play of another asset with the same key waits, and is refused', async () => {
  const edge = setUp()
  edge.hang()
  const first = edge.play()
  const second = edge.play('b')
  await turn()
  edge.settle('log')
  await first
  await expect(second).rejects.toMatchObject({ status: 422 })
  expect(edge.recorded).toHaveLength(1)
})

test("a retry is checked against its own viewer's rights, even while the first play is in flight", async () => {
  const edge = setUp()
  const plans = new Set(['premium'])
  const terms = { from: 0, until: Number.POSITIVE_INFINITY, countries: undefined, plans }
  edge.asset.metadata.terms = terms
  edge.hang()
  const refused = edge.play('a', { plan: 'basic' })
  const first = edge.play('a', { plan: 'premium' })
  const second = edge.play('a', { plan: 'premium' })
  const basic = edge.play('a', { plan: 'basic' })
  expect(await refused).toEqual({ reasons: ['plan'] })
  await turn()
  edge.settle('log')
  expect(await first).toMatchObject({ viewId: ID, place: 'log' })
  expect(await second).toMatchObject({ viewId: ID })
  expect(await basic).toEqual({ reasons: ['plan'] })
  expect(edge.recorded).toHaveLength(1)
  expect(edge.outcomes).toEqual(['recorded', 'retried'])
})

/** A player that finds the assets a and b. After hang(), recording waits until the test calls settle() or fail(). */
function setUp(options: { maxKeys?: number } = {}) {
  const aggregated: LookedUpPlay[] = []
  const recorded: IdentifiedPlay[] = []
  const outcomes: string[] = []
  const assets = new Set(['a', 'b'])
  const asset: FoundAsset = {
    metadata: { id: 'a', title: 'Alien', genre: 'horror', summary: '' },
    cdnUrl: { id: 'a', url: 'path/to/a.mp4' },
    degraded: [],
  }
  let counts: LookedUp | undefined = BEFORE
  let stored: PromiseWithResolvers<Recorded> | undefined
  const play = createKeyedPlayer({
    async aggregate(play) {
      aggregated.push(play)
      return assets.has(play.assetId) ? { asset, counting: Promise.resolve(counts) } : undefined
    },
    async record(play) {
      recorded.push(play)
      return stored?.promise ?? recordedIn('log')
    },
    onOutcome: (outcome) => outcomes.push(outcome),
    ...options,
  })
  return {
    aggregated,
    recorded,
    outcomes,
    assets,
    asset,
    play: (assetId = 'a', { key = 'k', plan = 'basic' } = {}) =>
      play({ assetId, userId: 'u' }, createTestRequestContext(), { key, audience: { plan } }),
    /** Makes reporting return this play as counted. */
    count(original: Omit<KeyedPlay, 'at'>) {
      counts = { ...BEFORE, userviews: 5, assetviews: 9, original: { ...original, at: new Date().toISOString() } }
    },
    loseCounts() {
      counts = undefined
    },
    hang() {
      stored = Promise.withResolvers()
    },
    settle(place: Recorded['place']) {
      stored?.resolve(recordedIn(place))
    },
    fail() {
      const failing = stored
      stored = Promise.withResolvers()
      failing?.reject(new Error('the disk is full'))
    },
  }
}
