import { expect, test } from 'vitest'
import type { InstanceReadiness } from '../shared/client/instance-readiness.ts'
import { createStoreCheck } from './store-check.ts'

const [A, B, C] = ['http://a', 'http://b', 'http://c']

test('instances that share a store may receive batches', async () => {
  const { check, stores } = setUp({ [A]: 'one', [B]: 'one' })
  expect(check.instances()).toEqual([])
  await check.assertOneStore()
  expect(check.instances()).toEqual([A, B])
  stores.set(B, 'two')
  await expect(check.assertOneStore()).rejects.toMatchObject({
    name: 'StoresDifferError',
    message: `the reporting instances use different stores: ${A} (one), ${B} (two). Run only one instance, or set the same DATABASE_URL for all of them`,
  })
  expect(check.instances()).toEqual([])
})

test('a single instance may receive batches without a check, even after its store has changed', async () => {
  const { check, stores } = setUp({ [A]: 'one' })
  expect(check.instances()).toEqual([A])
  await check.assertOneStore()
  stores.set(A, 'two')
  await check.assertOneStore()
  expect(check.instances()).toEqual([A])
})

test('a new instance receives no batch before its store is known', async () => {
  const { check, stores } = setUp({ [A]: 'one' })
  await check.assertOneStore()
  stores.set(B, 'one')
  expect(check.instances()).toEqual([A])
  await check.assertOneStore()
  expect(check.instances()).toEqual([A, B])
})

test('an unreachable instance, or one without a store id, does not suspend counting', async () => {
  const { check } = setUp({ [A]: 'one', [B]: 'unreachable', [C]: undefined })
  await check.assertOneStore()
  expect(check.instances()).toEqual([A, C])
})

test('an instance that stops responding is still compared for 5 s, so counting does not move to another store', async () => {
  const { check, stores, wait } = setUp({ [A]: 'one', [B]: 'two' })
  await expect(check.assertOneStore()).rejects.toThrow(A)
  stores.set(A, 'unreachable')
  wait(4_900)
  await expect(check.assertOneStore()).rejects.toThrow(A)
  wait(200)
  await check.assertOneStore()
  expect(check.instances()).toEqual([B])
})

test('an instance that is no longer discovered is no longer compared', async () => {
  const { check, stores } = setUp({ [A]: 'one', [B]: 'two', [C]: 'two' })
  await expect(check.assertOneStore()).rejects.toThrow(A)
  stores.delete(A)
  await check.assertOneStore()
  expect(check.instances()).toEqual([B, C])
})

test('untilDifferent() resolves once the stores differ', async () => {
  const { check, stores } = setUp({ [A]: 'one', [B]: 'one' })
  const waiting = check.untilDifferent(AbortSignal.timeout(5_000))
  stores.set(B, 'two')
  await waiting
  expect(check.instances()).toEqual([])
})

/** Instances with the given stores. */
function setUp(given: Record<string, string | undefined>) {
  const stores = new Map(Object.entries(given))
  let elapsed = 0
  const toReadiness = (url: string, store: string | undefined): InstanceReadiness => {
    if (store === 'unreachable') return { url, readiness: undefined }
    return { url, readiness: { status: 'ready', dependencies: {}, counting: { state: 'current', progress: 1, store } } }
  }
  const client = { instances: async () => [...stores].map(([url, store]) => toReadiness(url, store)) }
  const check = createStoreCheck({ knownInstances: () => [...stores.keys()], client, checkMs: 10, now: () => elapsed })
  return {
    check,
    stores,
    wait(ms: number) {
      elapsed += ms
    },
  }
}
