import { describe, expect, test, vi } from 'vitest'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createTestRequestContext } from '../shared/testing/test-service.ts'
import { createAssetCache } from './asset-cache.ts'

const TTL_MS = 1_000
const fresh = (id: string, version: number) => ({ value: { id, version }, stale: false })
const stale = (id: string, version: number) => ({ value: { id, version }, stale: true })

test('many who wait for a value ask its owner once', async () => {
  const { owner, read } = open()
  const reads = Array.from({ length: 100 }, () => read('a'))
  expect(await Promise.all(reads)).toEqual(Array(100).fill(fresh('a', 1)))
  expect(owner.asked).toEqual(['a'])
})

test('each id is asked for by itself', async () => {
  const { read } = open()
  expect(await Promise.all([read('a'), read('b')])).toEqual([fresh('a', 1), fresh('b', 1)])
})

test('the owner hears which request asked first', async () => {
  const { owner, values } = open()
  await Promise.all([values.read('a', createTestRequestContext('first')), values.read('a', createTestRequestContext('second'))])
  expect(owner.requestIds).toEqual(['first'])
})

test('a fresh value is there without waiting, until its time is over', async () => {
  const { owner, read } = open()
  await read('a')
  owner.version = 2
  await vi.advanceTimersByTimeAsync(TTL_MS)
  expect(read('a')).toEqual(fresh('a', 1))
  await vi.advanceTimersByTimeAsync(1)
  expect(await read('a')).toEqual(fresh('a', 2))
  expect(owner.asked).toEqual(['a', 'a'])
})

test.each([0, 0.5, 1_004.999])('a value may be fresh for %d ms', async (ttlMs) => {
  const { owner, read } = open({ ttlMs })
  await read('a')
  owner.version = 2
  await vi.advanceTimersByTimeAsync(ttlMs + 2)
  expect(await read('a')).toEqual(fresh('a', 2))
})

test('no more values are kept than may be', async () => {
  const { owner, read } = open({ max: 2 })
  for (const id of ['a', 'b', 'c', 'a']) await read(id)
  expect(owner.asked).toEqual(['a', 'b', 'c', 'a'])
})

describe('where the owner is down', () => {
  test('what was never read is an error, each time', async () => {
    const { owner, read } = open()
    owner.down = true
    await expect(read('a')).rejects.toThrow('down')
    await expect(read('a')).rejects.toThrow('down')
    owner.down = false
    expect(await read('a')).toEqual(fresh('a', 1))
  })

  test('what was read last stands, as stale', async () => {
    const { owner, read } = open()
    await read('a')
    owner.down = true
    await vi.advanceTimersByTimeAsync(1_000 * TTL_MS)
    expect(await read('a')).toEqual(stale('a', 1))
  })

  test('one burst asks once, the next one asks again', async () => {
    const { owner, read } = open()
    await read('a')
    owner.down = true
    await vi.advanceTimersByTimeAsync(TTL_MS + 1)
    expect(await Promise.all([read('a'), read('a')])).toEqual([stale('a', 1), stale('a', 1)])
    expect(owner.asked).toHaveLength(2)
    owner.down = false
    await vi.advanceTimersByTimeAsync(2)
    expect(await read('a')).toEqual(fresh('a', 1))
  })
})

describe('what the owner does not have', () => {
  test('is absent, and asked for each time', async () => {
    const { owner, read } = open()
    owner.missing = true
    expect(await read('a')).toBeUndefined()
    owner.missing = false
    expect(await read('a')).toEqual(fresh('a', 1))
  })

  test('does not come back when the owner then goes down', async () => {
    const { owner, read } = open()
    await read('a')
    await vi.advanceTimersByTimeAsync(TTL_MS + 1)
    owner.missing = true
    expect(await Promise.all([read('a'), read('a')])).toEqual([undefined, undefined])
    owner.down = true
    await expect(read('a')).rejects.toThrow('down')
  })
})

describe('a change', () => {
  test('of one value has it read again, and no other', async () => {
    const { owner, read, values } = open()
    await Promise.all([read('a'), read('b')])
    owner.version = 2
    values.expire('a')
    values.expire('never read')
    expect(await read('a')).toEqual(fresh('a', 2))
    expect(read('b')).toEqual(fresh('b', 1))
  })

  test('of who knows what has everything read again', async () => {
    const { owner, read, values } = open()
    await Promise.all([read('a'), read('b')])
    owner.version = 2
    values.expireAll()
    expect(await Promise.all([read('a'), read('b')])).toEqual([fresh('a', 2), fresh('b', 2)])
  })

  test('leaves what was read last for when the owner is down', async () => {
    const { owner, read, values } = open()
    await read('a')
    owner.down = true
    values.expire('a')
    expect(await read('a')).toEqual(stale('a', 1))
    values.expireAll()
    expect(await read('a')).toEqual(stale('a', 1))
  })

  const news = { 'of the value': 'expire', 'of who knows what': 'expireAll' } as const

  describe.each(Object.entries(news))('%s while it is being read', (_, expire) => {
    test.each(['for the first time', 'again'])('%s has it read once more', async (time) => {
      const { owner, read, values } = open()
      if (time === 'again') await read('a')
      await vi.advanceTimersByTimeAsync(TTL_MS + 1)
      const reading = read('a')
      values[expire]('a')
      expect(await reading).toEqual(fresh('a', 1))
      owner.version = 2
      await vi.advanceTimersByTimeAsync(2)
      expect(await read('a')).toEqual(fresh('a', 2))
    })

    test.each(['for the first time', 'again'])('%s and found to be gone leaves nothing', async (time) => {
      const { owner, read, values } = open()
      if (time === 'again') await read('a')
      await vi.advanceTimersByTimeAsync(TTL_MS + 1)
      owner.missing = true
      const reading = read('a')
      values[expire]('a')
      expect(await reading).toBeUndefined()
      owner.down = true
      await expect(read('a')).rejects.toThrow('down')
    })
  })
})

/** An owner whose values have a version, and what was read of it. */
function open({ ttlMs = TTL_MS, max = 10 } = {}) {
  useFakeClock()
  const owner = { version: 1, down: false, missing: false, asked: [] as string[], requestIds: [] as string[] }
  const values = createAssetCache({
    ttlMs,
    max,
    async load(id, { requestId }) {
      owner.asked.push(id)
      owner.requestIds.push(requestId)
      if (owner.down) throw new Error('down')
      return owner.missing ? undefined : { id, version: owner.version }
    },
  })
  return { owner, values, read: (id: string) => values.read(id, createTestRequestContext()) }
}
