import { randomUUID } from 'node:crypto'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { eventually } from '../../tests/harness/eventually.ts'
import { type NatsServer, natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { openNatsLink } from '../nats/link.ts'
import { describeStore } from '../testing/store.test-suite.ts'
import { createKvStore } from './kv-store.ts'

const log = pino({ level: 'silent' })
const Value = z.object({ title: z.string() })
const one = { title: 'one' }
const other = { title: 'other' }

describe.skipIf(!natsVersion)('a store in a key-value bucket', () => {
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

  async function open(bucket: string = randomUUID(), defaults: [string, typeof one][] = []) {
    const link = opened.use(openNatsLink({ servers: [nats.url], name: 'test', log }))
    const store = opened.use(createKvStore({ nats: link, bucket, schema: Value, defaults, log }))
    await eventually(() => expect(store.state()).toBe('up'))
    return store
  }

  describeStore(() => open())

  test('a second instance sees a write within 100 ms', async () => {
    const [first, second] = [await open('shared'), await open('shared')]
    // The best of some, since the machine may be busy with other tests.
    const times: number[] = []
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await first.set('a', one)
      const written = performance.now()
      await eventually(() => expect(second.get('a')).toEqual(one))
      times.push(performance.now() - written)
      await second.delete('a')
      await eventually(() => expect(first.get('a')).toBeUndefined())
    }
    expect(Math.min(...times)).toBeLessThan(100)
  })

  test('what was written is there for the next process, also after kill -9 of the server', async () => {
    const before = await open('durable')
    await before.set('a', one)
    await nats.signal('SIGKILL')
    await nats.start()
    const after = await open('durable')
    expect(after.get('a')).toEqual(one)
  })

  test('an empty bucket is filled with the defaults once, and a deleted default stays deleted', async () => {
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

  test('while the server is dead reading goes on and writing is refused; afterwards both work', async () => {
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

  test('while the server hangs a write is refused in time', async () => {
    const store = await open()
    await nats.signal('SIGSTOP')
    const started = performance.now()
    await expect(store.set('a', one)).rejects.toMatchObject({ name: 'UnavailableError' })
    expect(performance.now() - started).toBeLessThan(2_000)
    await nats.start()
    await eventually(() => store.set('a', other))
  })

  test('what others wrote while the server was away is there afterwards', async () => {
    const bucket = randomUUID()
    const store = await open(bucket)
    await store.set('gone', one)
    await nats.signal('SIGKILL')
    await eventually(() => expect(store.state()).toBe('down'))
    await nats.start()
    const quick = await open(bucket)
    await quick.set('new', one)
    await quick.delete('gone')
    await eventually(() => expect(store.list({ limit: 9 }).entries).toEqual([['new', one]]))
  })

  test('a bucket that was deleted is made and filled anew', async () => {
    const bucket = randomUUID()
    const store = await open(bucket, [['1', one]])
    await store.set('2', one)
    await nats.use(async (connection) => (await connection.jetstreamManager()).streams.delete(`KV_${bucket}`))
    await nats.signal('SIGKILL')
    await nats.start()
    await eventually(() => expect(store.list({ limit: 9 }).entries).toEqual([['1', one]]))
  })

  test('before the bucket was read nobody is told that an entry is not there', async () => {
    await nats.signal('SIGKILL')
    const link = opened.use(openNatsLink({ servers: [nats.url], name: 'test', log }))
    const store = opened.use(createKvStore({ nats: link, bucket: 'late', schema: Value, defaults: [['1', one]], log }))
    expect(() => store.get('1')).toThrow('not read yet')
    await nats.start()
    await eventually(() => expect(store.get('1')).toEqual(one))
  })
})
