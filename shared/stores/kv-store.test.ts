import { randomUUID } from 'node:crypto'
import type { NatsConnection } from 'nats'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { eventually } from '../../tests/harness/eventually.ts'
import { type NatsServer, natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { startPendingProxy } from '../../tests/harness/pending-proxy.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import { startTcpProxy, type TcpProxy } from '../../tests/harness/tcp-proxy.ts'
import { openNatsLink } from '../nats/link.ts'
import { sleep } from '../runtime/sleep.ts'
import { describeStore } from '../testing/store.test-suite.ts'
import { createKvStore } from './kv-store.ts'
import type { Store } from './store.ts'

const silent = pino({ level: 'silent' })
const Value = z.object({ title: z.string() })
const one = { title: 'one' }
const other = { title: 'other' }

describe.skipIf(!natsVersion)('the key-value store', () => {
  let nats: NatsServer
  let opened: AsyncDisposableStack
  beforeAll(async () => {
    nats = await startNatsServer()
  })
  afterAll(() => nats?.[Symbol.asyncDispose]())
  beforeEach(async () => {
    await nats.start()
    opened = new AsyncDisposableStack()
  })
  afterEach(() => opened.disposeAsync())

  async function open(
    bucket: string = randomUUID(),
    defaults: [string, typeof one][] = [],
    log = silent,
    url = nats.url,
  ) {
    const link = opened.use(openNatsLink({ servers: [url], name: 'test', log }))
    const store = opened.use(createKvStore({ nats: link, bucket, schema: Value, defaults, log }))
    await eventually(() => expect(store.state()).toBe('up'))
    return store
  }

  describeStore(() => open())

  test('a second instance sees a write within 100 ms', async () => {
    const [first, second] = [await open('shared'), await open('shared')]
    // Take the best of five, because other tests may keep the machine busy.
    const times: number[] = []
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await first.set('a', one)
      const writtenAt = performance.now()
      await eventually(() => expect(second.get('a')).toEqual(one))
      times.push(performance.now() - writtenAt)
      await second.delete('a')
      await eventually(() => expect(first.get('a')).toBeUndefined())
    }
    expect(Math.min(...times)).toBeLessThan(100)
  })

  test('the values are read even if the server overstates how many are pending', async () => {
    const writer = await open('overstated')
    await writer.set('a', one)
    await using proxy = await startPendingProxy(nats.url)
    const reader = await open('overstated', [], silent, proxy.url)
    expect(reader.get('a')).toEqual(one)
  })

  test('writes survive a SIGKILL of the server, and the next process reads them', async () => {
    const before = await open('durable')
    await before.set('a', one)
    await nats.signal('SIGKILL')
    await nats.start()
    const after = await open('durable')
    expect(after.get('a')).toEqual(one)
  })

  test('a new bucket gets the defaults once, and a deleted default stays deleted', async () => {
    const bucket = randomUUID()
    const defaults: [string, typeof one][] = [
      ['1', one],
      ['2', other],
    ]
    const [first] = await Promise.all([open(bucket, defaults), open(bucket, defaults)])
    expect(first.list({ limit: 9 }).entries).toEqual(defaults)
    await first.delete('1')
    await first.set('2', one)
    const next = await open(bucket, defaults)
    expect(next.list({ limit: 9 }).entries).toEqual([['2', one]])
  })

  test('reads continue and writes fail while the server is down, and both work once it is back up', async () => {
    const store = await open()
    await store.set('a', one)
    await nats.signal('SIGKILL')
    await eventually(() => expect(store.state()).toBe('down'))
    expect(store.get('a')).toEqual(one)
    await expect(store.set('a', other)).rejects.toMatchObject({ name: 'UnavailableError' })
    await expect(store.delete('a')).rejects.toMatchObject({ name: 'UnavailableError' })
    await nats.start()
    await eventually(() => store.set('a', other))
    expect(store.get('a')).toEqual(other)
  })

  test('concurrent writes are all stored, and both the writer and the next process read them', async () => {
    const bucket = randomUUID()
    const store = await open(bucket)
    const entries = Array.from({ length: 2_000 }, (_, n): [string, typeof one] => [`a-${n}`, { title: `${n}` }])
    // Write in batches, because a write fails if it is not stored within 2 s.
    for (let n = 0; n < entries.length; n += 100) {
      await Promise.all(
        entries.slice(n, n + 100).map(async ([id, value]) => {
          await store.set(id, value)
          expect(store.get(id)).toEqual(value)
        }),
      )
    }
    const sorted = entries.toSorted(([a], [b]) => (a < b ? -1 : 1))
    expect(store.list({ limit: 9_999 }).entries).toEqual(sorted)
    expect((await open(bucket)).list({ limit: 9_999 }).entries).toEqual(sorted)
  })

  test('two instances that write the same entries concurrently converge', async () => {
    const bucket = randomUUID()
    const stores = [await open(bucket), await open(bucket)] as const
    const ids = Array.from({ length: 100 }, (_, n) => `a-${n}`)
    for (let round = 0; round < 10; round += 1) {
      const writes = stores.flatMap((store, writer) => ids.map((id) => store.set(id, { title: `${round} ${writer}` })))
      await Promise.all(writes)
      const last = await open(bucket)
      const expected = last.list({ limit: 999 }).entries
      for (const store of stores) await eventually(() => expect(store.list({ limit: 999 }).entries).toEqual(expected))
    }
  })

  test('writes in flight when the server dies are either stored or rejected', async () => {
    const store = await open()
    const writes = Array.from({ length: 2_000 }, (_, n) => store.set(`a-${n}`, one))
    const settled = Promise.allSettled(writes)
    await writes[0]
    await nats.signal('SIGKILL')
    const outcomes = await settled
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
    for (const { reason } of refused) expect(reason).toMatchObject({ name: 'UnavailableError' })
    await nats.start()
    await eventually(() => expect(store.state()).toBe('up'))
    for (const [n, { status }] of outcomes.entries()) {
      if (status === 'fulfilled') expect(store.get(`a-${n}`)).toEqual(one)
    }
  })

  test('a write fails within two seconds while the server hangs', async () => {
    const store = await open()
    await nats.signal('SIGSTOP')
    const start = runningTime()
    await expect(store.set('a', one)).rejects.toMatchObject({ name: 'UnavailableError' })
    expect(runningTime() - start).toBeLessThan(2_000)
    await nats.start()
    await eventually(() => store.set('a', other))
  })

  test('updates missed during an outage are read afterwards', async () => {
    const bucket = randomUUID()
    const store = await open(bucket)
    await store.set('gone', one)
    await nats.signal('SIGKILL')
    await eventually(() => expect(store.state()).toBe('down'))
    await nats.start()
    const other = await open(bucket)
    await other.set('new', one)
    await other.delete('gone')
    await eventually(() => expect(store.list({ limit: 9 }).entries).toEqual([['new', one]]))
  })

  const entriesOf = (store: Store<typeof one>) => store.list({ limit: 9_999 }).entries
  const deleteBucket = (bucket: string) =>
    nats.use(async (connection) => (await connection.jetstreamManager()).streams.delete(`KV_${bucket}`))
  const openBucket = (connection: NatsConnection, bucket: string) => connection.jetstream().views.kv(bucket)

  test('a deleted bucket is restored by its instances within 5 s, and a deleted default stays deleted', async () => {
    const bucket = randomUUID()
    const defaults: [string, typeof one][] = [
      ['0', one],
      ['1', one],
    ]
    const stores = [await open(bucket, defaults), await open(bucket, defaults)] as const
    const [first, second] = stores
    await first.delete('0')
    await first.set('1', other)
    for (let start = 0; start < 3_000; start += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, n) => first.set(`a-${start + n}`, one)))
    }
    const expected = entriesOf(first)
    await eventually(() => expect(entriesOf(second)).toEqual(expected))
    await deleteBucket(bucket)
    await eventually(() => expect(first.state()).toBe('down'), 5_000)
    await eventually(() => first.set('after', one), 5_000)
    await eventually(() => expect(second.get('after')).toEqual(one))
    await eventually(() => second.set('after', other), 5_000)
    await eventually(() => expect(first.get('after')).toEqual(other))
    for (const store of [...stores, await open(bucket, defaults)]) {
      expect(entriesOf(store)).toEqual([...expected, ['after', other]])
    }
  })

  test("a new instance that recreates a deleted bucket does not overwrite other instances' entries", async () => {
    const bucket = randomUUID()
    const defaults: [string, typeof one][] = [
      ['0', one],
      ['1', one],
    ]
    const holder = await open(bucket, defaults)
    await holder.delete('0')
    await holder.set('1', other)
    await holder.set('2', other)
    await deleteBucket(bucket)
    const starting = await open(bucket, defaults)
    const expected = [
      ['1', other],
      ['2', other],
    ]
    await eventually(() => {
      expect(entriesOf(starting)).toEqual(expected)
      expect(holder.state()).toBe('up')
    }, 5_000)
    expect(entriesOf(holder)).toEqual(expected)
  })

  test('a bucket that is emptied key by key stays empty', async () => {
    const bucket = randomUUID()
    const stores = [await open(bucket, [['1', one]]), await open(bucket, [['1', one]])]
    await nats.use(async (connection) => {
      const kv = await openBucket(connection, bucket)
      for (const key of ['1', '_filled']) await kv.delete(key)
    })
    for (const store of stores) await eventually(() => expect(entriesOf(store)).toEqual([]))
    await nats.signal('SIGKILL')
    await nats.start()
    stores.push(await open(bucket, [['1', one]]))
    for (const store of stores) await eventually(() => expect(store.state()).toBe('up'))
    expect(stores.map(entriesOf)).toEqual([[], [], []])
  })

  test.each(['=zz', 'a.b', '=2', '_a', 'x'.repeat(129), '=00'])(
    'an entry with the key %j, which encodes no id, is ignored and logged once',
    async (key) => {
      const bucket = randomUUID()
      const lines: { key?: string }[] = []
      const log = pino({ level: 'warn' }, { write: (line) => lines.push(JSON.parse(line)) })
      const store = await open(bucket, [], log)
      await nats.use(async (connection) => (await openBucket(connection, bucket)).put(key, JSON.stringify(one)))
      await store.set('after', one)
      await eventually(() => expect(lines).toMatchObject([{ key, msg: 'the key encodes no id; ignored' }]))
      await nats.signal('SIGKILL')
      await nats.start()
      await eventually(() => expect(store.state()).toBe('up'))
      expect(entriesOf(store)).toEqual([['after', one]])
      expect(lines.filter((line) => line.key === key)).toHaveLength(1)
    },
  )

  describe('a first read over a slow connection', () => {
    const COUNT = 2_000
    const ids = Array.from({ length: COUNT }, (_, n) => `a-${n}`)

    /** Opens a store of `COUNT` entries (1.3 MB) via a proxy. `onApply` gets the number of entries applied so far. */
    async function openSlowly(bytesPerSecond: number, onApply: (count: number, proxy: TcpProxy) => void) {
      const bucket = randomUUID()
      const writer = await open(bucket)
      // Write in batches, because a write fails if it is not stored within 2 s.
      for (let n = 0; n < COUNT; n += 100) {
        await Promise.all(ids.slice(n, n + 100).map((id) => writer.set(id, { title: 'x'.repeat(500) })))
      }
      const proxy = opened.use(await startTcpProxy(nats.url, 0, { bytesPerSecond }))
      let count = 0
      const schema = Value.refine(() => {
        onApply(++count, proxy)
        return true
      })
      const link = opened.use(openNatsLink({ servers: [proxy.url], name: 'slow', log: silent }))
      const store = opened.use(createKvStore({ nats: link, bucket, schema, defaults: [], log: silent }))
      return { writer, store, applied: () => count }
    }

    test('loses no entry if it is interrupted', async () => {
      const { store } = await openSlowly(2_000_000, (count, proxy) => count === COUNT / 2 && proxy.cut())
      await store.loaded
      expect(entriesOf(store).map(([id]) => id)).toEqual(ids.toSorted())
    })

    test('completes while another instance writes', async () => {
      const { writer, store, applied } = await openSlowly(400_000, () => undefined)
      for (let n = 0; !store.isLoaded(); n += 1) {
        await writer.set('written', { title: `${n}` })
        expect(applied()).toBeLessThan(2 * COUNT)
        await sleep(100)
      }
      // If the store read the bucket again after each write, it would apply all entries several times.
      expect(applied()).toBeLessThan(1.5 * COUNT)
    })
  })

  test('reads fail until the bucket has been read once', async () => {
    await nats.signal('SIGKILL')
    const link = opened.use(openNatsLink({ servers: [nats.url], name: 'test', log: silent }))
    const store = opened.use(
      createKvStore({ nats: link, bucket: 'late', schema: Value, defaults: [['1', one]], log: silent }),
    )
    expect(() => store.get('1')).toThrow('has not been read yet')
    await nats.start()
    await eventually(() => expect(store.get('1')).toEqual(one))
  })
})
