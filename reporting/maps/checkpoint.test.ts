import fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { View } from '../../shared/contracts/view.ts'
import type { CountBatch } from '../count-store.ts'
import { unlimited } from './capacity.ts'
import { decode, encode } from './checkpoint-bytes.test-suite.ts'
import { encodeCheckpoint } from './checkpoint-encoder.ts'
import { CorruptCheckpointError, UnknownVersionError } from './checkpoint-format.ts'
import type { FrozenCountMap } from './count-map.ts'
import { type CountState, createCountState } from './count-state.ts'
import { type FrozenState, freezeState } from './frozen-state.ts'
import { createLiveCounts } from './live-counts.ts'
import { thawSteps } from './series-map.ts'
import type { FrozenMap } from './sharded-map.ts'
import { createViewCounts } from './view-counts.ts'

const at = new Date().toISOString()

type Batch = Pick<CountBatch, 'views' | 'rejected' | 'skipped' | 'first' | 'incarnation'>
/** Creating an index of the default size would take longer than a test run. */
const kept = { verdicts: 5_000, keys: 5_000 }

type Step = { apply: Batch } | { count: number } | { encode: number } | 'checkpoint' | 'fail' | 'restart'

const producer = fc.constantFrom('p', 'q', '\ud800 "€"')
const serial = fc.integer({ min: 1, max: 8 })
const view = fc
  .record({
    id: fc.constantFrom('1', '2', '3'),
    user: fc.nat(9),
    producer: fc.option(producer, { nil: undefined }),
    serial: fc.option(serial, { nil: undefined }),
    keyed: fc.option(fc.constant(true as const), { nil: undefined }),
    predecessor: fc.option(fc.record({ producer, serial }), { nil: undefined, freq: 8 }),
  })
  .map(({ user, ...rest }): View => ({ ...rest, assetId: `a${user % 2}`, userId: `u${user}`, at }))
const batch = fc.record({
  views: fc.array(view, { maxLength: 5 }),
  rejected: fc.array(fc.record({ producer, from: serial, to: serial }), { maxLength: 1 }),
  skipped: fc.array(fc.record({ sequence: fc.constant(1), ids: fc.array(fc.constantFrom('1', 'x')) }), {
    maxLength: 1,
  }),
  first: fc.integer({ min: 1, max: 20 }),
  incarnation: fc.oneof({ weight: 9, arbitrary: fc.constant('log') }, { weight: 1, arbitrary: fc.constant('new') }),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ apply: batch }) },
  { weight: 2, arbitrary: fc.record({ count: fc.nat(12) }) },
  { weight: 6, arbitrary: fc.record({ encode: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 4, arbitrary: fc.constant('checkpoint' as const) },
  { weight: 1, arbitrary: fc.constant('fail' as const) },
  { weight: 2, arbitrary: fc.constant('restart' as const) },
)

test('checkpoints do not affect the counts, and a restart continues from the last complete checkpoint', {
  timeout: 60_000,
}, async () => {
  // A view that is counted directly belongs to the current second, which must be the same in the store and the model.
  vi.useFakeTimers({ now: new Date(at), toFake: ['Date'] })
  onTestFinished(() => void vi.useRealTimers())
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
      const store = createCheckpointedStore()
      for (const step of steps) {
        await store.take(step)
        store.checkReads()
      }
      await store.take('fail')
      await store.checkContent()
    }),
    { numRuns: 100 },
  )
})

test('a checkpoint with many users contains none of the views counted while it is encoded', async () => {
  const state = createCountState()
  const counts = createViewCounts(unlimited, state)
  const users = 100_000
  for (let n = 0; n < users; n += 1) counts.count({ assetId: 'a', userId: `user-${n}` })
  const chunks: Uint8Array[] = []
  {
    await using frozen = freezeState(state)
    for (const chunk of encodeCheckpoint(frozen)) {
      chunks.push(Uint8Array.from(chunk))
      for (let n = 0; n < users; n += 1_000) counts.count({ assetId: 'a', userId: `user-${n}` })
      counts.count({ assetId: 'a', userId: `new-${chunks.length}` })
      expect(counts.counts('user', 'user-1000')?.views).toBe(1 + chunks.length)
    }
  }
  expect(chunks.length).toBeGreaterThan(8)
  const loaded = await decode(Buffer.concat(chunks))
  expect(loaded.counts.user.size()).toBe(users)
  expect(loaded.counts.user.top(1_000).every(({ views }) => views === 1)).toBe(true)
  expect(loaded.counts.asset.get('a')).toBe(users)
  expect(counts.size('user')).toBe(users + chunks.length)
  expect(counts.top('user', 'views', 1)).toMatchObject([{ id: 'user-0', views: 1 + chunks.length }])
})

test('the top 1,000 in a loaded checkpoint stay exact', async () => {
  const state = createCountState()
  const counts = createViewCounts(unlimited, state)
  const countUser = (target: typeof counts, n: number) => target.count({ assetId: 'a', userId: `user-${n}` })
  for (let n = 0; n < 5_000; n += 1) for (let times = n % 17; times >= 0; times -= 1) countUser(counts, n)
  const loaded = createViewCounts(unlimited, await decode(await encode(state)))
  expect(loaded.top('user', 'views', 1_000)).toEqual(counts.top('user', 'views', 1_000))
  for (let n = 0; n < 20_000; n += 1) {
    countUser(counts, (n * n) % 6_000)
    countUser(loaded, (n * n) % 6_000)
  }
  expect(loaded.top('user', 'views', 1_000)).toEqual(counts.top('user', 'views', 1_000))
})

test('ids of the maximum length and the largest counts are preserved', async () => {
  const state = createCountState()
  const ids = ['a', 'z'.repeat(128), 'A.b_c@d~e-9']
  const largest = [127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER]
  for (const [n, views] of largest.entries()) state.counts.user.restore(`${n}`, views)
  for (const id of ids) state.counts.asset.restore(id, 1)
  const { counts } = await decode(await encode(state))
  expect(largest.map((_, n) => counts.user.get(`${n}`))).toEqual(largest)
  expect(ids.map((id) => counts.asset.get(id))).toEqual([1, 1, 1])
})

test('the events that view rules remember are preserved, even if they fill several pages', async () => {
  const original = open(createCountState({ kept }))
  const views = (from: number) =>
    Array.from({ length: 9_000 }, (_, n) => ({ id: `${from + n}`, assetId: 'a', userId: `u${(from + n) % 8_000}`, at }))
  original.counts.apply({ incarnation: 'log', after: 0, through: 1, views: views(0) })
  const loaded = open(await decode(await encode(original.state), { kept }))
  expect(await contentOf(loaded.state)).toEqual(await contentOf(original.state))
  for (const { counts } of [original, loaded]) {
    counts.apply({ incarnation: 'log', after: 1, through: 2, views: views(9_000) })
  }
  expect(loaded.state.totals.notQualified).toEqual({ repeat: 10_000 })
  expect(await contentOf(loaded.state)).toEqual(await contentOf(original.state))
})

describe('a damaged checkpoint is rejected', () => {
  test('if any byte differs', async () => {
    const bytes = await encode(createExample())
    for (let index = 0; index < bytes.length; index += 1) {
      const damaged = Buffer.from(bytes)
      damaged[index] = (damaged[index] ?? 0) ^ (1 << (index % 8))
      await expect(decode(damaged), `byte ${index}`).rejects.toThrow(
        index >= 8 && index < 12 ? UnknownVersionError : CorruptCheckpointError,
      )
    }
  })

  test('if it is truncated, or has trailing bytes', async () => {
    const bytes = await encode(createExample())
    for (let size = 0; size < bytes.length; size += 1) {
      await expect(decode(bytes.subarray(0, size)), `${size} bytes`).rejects.toThrow(CorruptCheckpointError)
    }
    await expect(decode(Buffer.concat([bytes, Buffer.alloc(1)]))).rejects.toThrow(CorruptCheckpointError)
  })

  test('if the file has become shorter since its size was read', async () => {
    const bytes = await encode(createExample())
    await expect(decode(bytes.subarray(0, -40), { size: bytes.length })).rejects.toThrow('it is truncated')
  })
})

function createExample(): CountState {
  const state = createCountState()
  const { counts } = open(state)
  const views = [
    { id: '1', assetId: 'a', userId: 'u', at, producer: 'p', serial: 3 },
    { id: '2', assetId: 'b', userId: 'u', at, producer: '/p' },
  ]
  counts.apply({ incarnation: 'log', after: 0, through: 1, views })
  return state
}

/**
 * A store with checkpoints, and a model without checkpoints. On a restart, the model replays all steps up to the last
 * checkpoint.
 */
function createCheckpointedStore() {
  let store = open(createCountState({ kept }))
  let model = open(createCountState({ kept }))
  let history: Exclude<Step, string>[] = []
  let saved: { bytes: Buffer; history: typeof history } | undefined
  let writing:
    | { frozen: FrozenState; chunks: Generator<Uint8Array>; bytes: Buffer[]; history: typeof history }
    | undefined

  async function finish(): Promise<void> {
    await writing?.frozen[Symbol.asyncDispose]()
    writing = undefined
  }

  async function encodeSome(chunks: number): Promise<void> {
    for (let n = 0; writing && n < chunks; n += 1) {
      const next = writing.chunks.next()
      if (!next.done) writing.bytes.push(Buffer.from(next.value))
      else {
        saved = { bytes: Buffer.concat(writing.bytes), history: writing.history }
        await finish()
      }
    }
  }

  async function restart(): Promise<void> {
    await finish()
    store = open(saved ? await decode(saved.bytes, { kept }) : createCountState({ kept }))
    model = open(createCountState({ kept }))
    history = [...(saved?.history ?? [])]
    for (const step of history) run(model.counts, step)
    await checkContent()
  }

  async function checkContent(): Promise<void> {
    expect(await contentOf(store.state)).toEqual(await contentOf(model.state))
  }

  return {
    async take(step: Step) {
      if (step === 'checkpoint') {
        if (writing) return
        const frozen = freezeState(store.state)
        writing = { frozen, chunks: encodeCheckpoint(frozen), bytes: [], history: [...history] }
      } else if (step === 'fail') await finish()
      else if (step === 'restart') await restart()
      else if ('encode' in step) await encodeSome(step.encode)
      else {
        history.push(step)
        run(store.counts, step)
        run(model.counts, step)
      }
    },
    checkReads: () => expect(readable(store.state)).toEqual(readable(model.state)),
    checkContent,
  }
}

function open(state: CountState) {
  return { state, counts: createLiveCounts(createViewCounts(unlimited, state), state) }
}

function run(counts: ReturnType<typeof createLiveCounts>, step: Exclude<Step, string>): void {
  if ('count' in step) counts.count({ assetId: 'a0', userId: `u${step.count}` })
  if (!('apply' in step)) return
  const position = counts.position()
  const isNew = position?.incarnation !== step.apply.incarnation
  const after = isNew ? 0 : position.sequence
  const leaving = isNew ? position : undefined
  expect(counts.apply({ ...step.apply, after, through: after + 2, leaving })).toBeDefined()
}

/** The part of the state that can be compared at any time, even while the state is frozen. */
function readable({ position, views, totals, lost, counts, viewers }: CountState) {
  const users = Array.from({ length: 13 }, (_, n) => [counts.user.get(`u${n}`), counts.user.qualified(`u${n}`)])
  const assets = ['a0', 'a1'].map((id) => [counts.asset.get(id), counts.asset.qualified(id), viewers.count(id)])
  const sizes = [counts.user.size(), counts.asset.size()]
  const top = [counts.user, counts.asset].flatMap((map) => [map.top(1_000), map.top(1_000, 'qualified')])
  return { position, views, totals, lost, users, assets, sizes, top }
}

/** Everything that a checkpoint contains, except random values. */
async function contentOf(state: CountState) {
  await using frozen = freezeState(state)
  const { position, views, totals, lost, isComplete, producers, knownIds, seconds, counts } = frozen
  const entries = <Value>(map: FrozenMap<Value>) => [...map.shards()].flatMap((shard) => [...shard]).toSorted()
  const both = ({ size, ids, views, notQualified }: FrozenCountMap) =>
    Array.from({ length: size }, (_, n) => [ids.idOf(n), views.get(n), notQualified.get(n)]).toSorted()
  return {
    counted: { position, views, totals, lost, seconds: seconds.toSorted() },
    counts: { assets: both(counts.asset), users: both(counts.user), viewers: entries(frozen.viewers) },
    deduplication: { isComplete, producers, ids: [[...knownIds.previous.keys], [...knownIds.current.keys]] },
    judged: { clock: frozen.clock, events: frozen.judged.map(({ rule, events }) => ({ rule, events: [...events] })) },
    series: [...thawSteps(frozen.series)].toSorted((a, b) => a.at - b.at),
    kept: [frozen.verdicts, frozen.keys].map((pages) =>
      pages.map((page) => ({ ...page, bytes: page.bytes.toString('hex') })),
    ),
  }
}
