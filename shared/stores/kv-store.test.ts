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

  async function open(bucket: string = randomUUID(), defaults: [string, typeof one][] = []) {
    const link = opened.use(openNatsLink({ servers: [nats.url], name: 'test', log }))
    const store = opened.use(createKvStore({ nats: link, bucket, schema: Value, defaults, log }))
    await eventually(() => expect(store.state()).toBe('up'))
    return store
  }

  describeStore(() => open())

  test('a second instance sees a write within 100 ms', async () => {
    const [first, second] = [await open('shared'), await open('shared')]
    // The best of five, because the machine may be busy with other tests.
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

  test('writes survive kill -9 of the server and are read by the next process', async () => {
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

  test('reads continue and writes fail while the server is down, and both work once it is up again', async () => {
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

  test('a write fails within two seconds while the server hangs', async () => {
    const store = await open()
    await nats.signal('SIGSTOP')
    const started = performance.now()
    await expect(store.set('a', one)).rejects.toMatchObject({ name: 'UnavailableError' })
    expect(performance.now() - started).toBeLessThan(2_000)
    await nats.start()
    await eventually(() => store.set('a', other))
  })

  test('writes that were missed during an outage are read after it', async () => {
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

  test('a deleted bucket is created again with the defaults', async () => {
    const bucket = randomUUID()
    const store = await open(bucket, [['1', one]])
    await store.set('2', one)
    await nats.use(async (connection) => (await connection.jetstreamManager()).streams.delete(`KV_${bucket}`))
    await nats.signal('SIGKILL')
    await nats.start()
    await eventually(() => expect(store.list({ limit: 9 }).entries).toEqual([['1', one]]))
  })

  test('reads fail until the bucket has been read once', async () => {
    await nats.signal('SIGKILL')
    const link = opened.use(openNatsLink({ servers: [nats.url], name: 'test', log }))
    const store = opened.use(createKvStore({ nats: link, bucket: 'late', schema: Value, defaults: [['1', one]], log }))
    expect(() => store.get('1')).toThrow('has not been read yet')
    await nats.start()
    await eventually(() => expect(store.get('1')).toEqual(one))
  })
})
