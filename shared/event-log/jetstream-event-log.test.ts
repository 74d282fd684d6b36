import { headers } from 'nats'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { startConfiguredNats } from '../../tests/harness/nats-config.ts'
import { openNatsEventLog } from '../../tests/harness/nats-event-log.ts'
import { type NatsServer, natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { startPendingProxy } from '../../tests/harness/pending-proxy.ts'
import { startTcpProxy } from '../../tests/harness/tcp-proxy.ts'
import type { LogPosition } from '../contracts/position.ts'
import { openNatsLink } from '../nats/link.ts'
import { sleep } from '../runtime/sleep.ts'
import { describeDeadLetters, eventOf, readToEnd, sequencesOf, toBody } from '../testing/dead-letters.test-suite.ts'
import {
  createView,
  createViews,
  describeEventLog,
  type Handle,
  idsOf,
  idsOfViews,
  openHandle,
  readViews,
} from '../testing/event-log.test-suite.ts'
import { createJetStreamEventLog } from './jetstream-event-log.ts'
import { DEAD_LETTERS, STREAM, VIEWS } from './stream.ts'

let lines: string[] = []
const log = pino({ level: 'warn' }, { write: (line) => lines.push(line) })

const TV_EVENT = {
  specversion: '1.0',
  id: 'a',
  source: '/tv',
  type: 'video.viewed',
  data: { assetId: '456', userId: '8' },
}

const never = new AbortController().signal

describe.skipIf(!natsVersion)('the JetStream event log', () => {
  let nats: NatsServer
  beforeAll(async () => {
    nats = await startNatsServer()
  })
  afterAll(() => nats?.[Symbol.asyncDispose]())
  beforeEach(async () => {
    await nats.start()
    await wipe()
    lines = []
  })

  async function open(producerId?: string, url = nats.url): Promise<Handle> {
    const link = openNatsLink({ servers: [url], name: 'test', log })
    await link.up(AbortSignal.timeout(5_000))
    const handle = openHandle(createJetStreamEventLog({ nats: link, log }), producerId)
    return { ...handle, [Symbol.asyncDispose]: () => link[Symbol.asyncDispose]() }
  }

  const wipe = () => nats.deleteStream(STREAM)

  const expire = (through: number) =>
    nats.use(async (connection) => {
      await (await connection.jetstreamManager()).streams.purge(STREAM, { seq: through + 1 })
    })

  /** Publishes as another program would. */
  async function publish(subject: string, payload: string): Promise<void> {
    await nats.use((connection) => connection.jetstream().publish(subject, payload))
  }

  const waitForReader = () =>
    nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      await eventually(async () => expect((await jsm.streams.info(STREAM)).state.consumer_count).toBeGreaterThan(0))
    })

  const readDeadLetters = () =>
    nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      const { state } = await jsm.streams.info(STREAM, { subjects_filter: DEAD_LETTERS })
      const last = await jsm.streams.getMessage(STREAM, { last_by_subj: DEAD_LETTERS })
      return { count: state.subjects?.[DEAD_LETTERS], text: last.string(), reason: last.header.get('Rejected-Reason') }
    })

  describeEventLog(() => ({ open, wipe, expire }))
  describeDeadLetters(() => ({
    open: () => open(),
    appendRaw: (body) => publish('events.view.tv', body),
    lines: () => lines,
  }))

  test("the owner sets the stream's maximum age; without a setting, the maximum age stays unchanged", async () => {
    const maxAge = async (maxAgeMs?: number, isOwner = true) => {
      await using link = openNatsLink({ servers: [nats.url], name: 'test', log })
      await link.up(AbortSignal.timeout(5_000))
      await createJetStreamEventLog({ nats: link, log, maxAgeMs, isOwner }).end()
      return nats.use(
        async (connection) => (await (await connection.jetstreamManager()).streams.info(STREAM)).config.max_age,
      )
    }
    expect(await maxAge()).toBe(0)
    expect(await maxAge(60_000, false)).toBe(0)
    expect(await maxAge(60_000)).toBe(60e9)
    expect(await maxAge(90_000)).toBe(90e9)
    expect(await maxAge()).toBe(90e9)
  })

  test('reading fails if messages expire before they are read', async () => {
    await using eventLog = await open()
    // Append more messages than fit in one pull, and more views than fit in one batch.
    for (let n = 0; n < 400; n += 1) await eventLog.append(createViews(40), never)
    let read = 0
    async function readSlowly(): Promise<void> {
      for await (const { through } of eventLog.read(undefined, never)) {
        if (read === 0) await expire(390)
        read = through
      }
    }
    await expect(readSlowly()).rejects.toMatchObject({ name: 'LogTruncatedError', missing: { to: 390 } })
    expect(read).toBeLessThan(390)
  })

  describe('if the server overstates how many messages are pending', () => {
    /** Runs `work` while views are appended. `ended` aborts after about 4 s; `work` may abort it earlier. */
    async function whileAppending(work: (reader: Handle, ended: AbortController) => Promise<void>): Promise<void> {
      await using writer = await open()
      await writer.append(createViews(1), never)
      await using proxy = await startPendingProxy(nats.url)
      await using reader = await open(undefined, proxy.url)
      const ended = new AbortController()
      async function keepAppending(): Promise<void> {
        for (let n = 0; n < 600 && !ended.signal.aborted; n += 1) {
          await writer.append(createViews(1), never)
          await sleep(5)
        }
        ended.abort()
      }
      const appending = keepAppending()
      try {
        await work(reader, ended)
      } finally {
        ended.abort()
        await appending
      }
    }

    test('views are read while others are appended', async () => {
      let batches = 0
      await whileAppending(async (reader, ended) => {
        for await (const _ of reader.read(undefined, ended.signal)) {
          batches += 1
          if (batches === 10) ended.abort()
        }
      })
      expect(batches).toBe(10)
    })

    test('a search ends while views are appended', async () => {
      await whileAppending(async (reader, ended) => {
        const search = await reader.find('unknown', undefined, { maxMessages: 1_000_000, signal: never })
        expect(search).toEqual({ found: undefined, isComplete: true })
        expect(ended.signal.aborted).toBe(false)
      })
    })
  })

  test('a search over a slow connection misses no view', async () => {
    await using writer = await open()
    const views = createViews(6_000)
    for (let n = 0; n < views.length; n += 60) await writer.append(views.slice(n, n + 60), never)
    // The 100 messages have 2 MB, so they do not arrive before the pull times out.
    await using proxy = await startTcpProxy(nats.url, 0, { bytesPerSecond: 500_000 })
    await using reader = await open(undefined, proxy.url)
    const search = await reader.find(views.at(-1)?.id ?? '', undefined, { maxMessages: 1_000, signal: never })
    expect(search).toMatchObject({ found: { position: { sequence: 100 } }, isComplete: true })
  })

  test('copies of dead letters at the end of the log count as read, so their expiry is not a loss', async () => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    await publish('events.view.tv', 'not json')
    let position: LogPosition | undefined
    for await (const { incarnation, through: sequence } of eventLog.read(undefined, AbortSignal.timeout(10_000))) {
      position = { incarnation, sequence }
      if (sequence === 3) break
    }
    expect(position).toEqual(await eventLog.end())
    await expire(3)
    const view = createView()
    await eventLog.append([view], never)
    expect(idsOf(await readViews(eventLog, position, 1))).toEqual([view.id])
  })

  test('reading the backlog does not create the stream', async () => {
    await using eventLog = await open()
    expect(await eventLog.backlog(undefined)).toEqual({ messages: 0, since: undefined })
    const names = await nats.use(async (connection) =>
      (await (await connection.jetstreamManager()).streams.names().next()).toSorted(),
    )
    expect(names).not.toContain(STREAM)
  })

  test('maximum-length views fit into the default NATS max_payload', async () => {
    await using eventLog = await open('n'.repeat(22))
    const long = { assetId: 'a'.repeat(128), userId: 'u'.repeat(128), requestId: 'r'.repeat(128) }
    const trace = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: '"'.repeat(512) }
    const views = createViews(1_000).map((view) => ({ ...view, ...long, ...trace }))
    await eventLog.append(views, never)
    expect(idsOf(await readViews(eventLog, undefined, 1_000))).toEqual(idsOfViews(views))
  })

  test('maximum-length reports fit into the default NATS max_payload', async () => {
    await using eventLog = await open('n'.repeat(22))
    const long = { assetId: 'a'.repeat(128), userId: 'u'.repeat(128), requestId: 'r'.repeat(128) }
    const trace = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: '"'.repeat(512) }
    // JSON encodes each of these characters as six characters.
    const watched = { viewId: '\u0001'.repeat(256), seconds: 86_399.9999 }
    const reports = createViews(1_000).map((view) => ({ ...view, ...long, ...trace, watched }))
    await eventLog.append([...reports, createView()], never)
    expect((await readViews(eventLog, undefined, 1)).flatMap(({ watched }) => watched)).toHaveLength(1_000)
  })

  test('an append is split into messages that fit into a lower max_payload', async () => {
    await using restricted = await startConfiguredNats('max_payload: 64KB')
    await using eventLog = await openNatsEventLog(restricted.url)
    const views = createViews(1_000)
    await eventLog.producer('/test').append(views, never)
    expect(idsOf(await readViews(eventLog, undefined, 1_000))).toEqual(idsOfViews(views))
  })

  test('the views in one append share a message', async () => {
    await using eventLog = await open('mine')
    await eventLog.append(createViews(100), never)
    expect((await eventLog.end()).sequence).toBe(1)
    const message = await nats.use(async (connection) =>
      (await connection.jetstreamManager()).streams.getMessage(STREAM, { last_by_subj: 'events.view.mine' }),
    )
    expect(message.header.get('Content-Type')).toBe('application/cloudevents-batch+json')
    expect(JSON.parse(message.string())[0]).toEqual({
      specversion: '1.0',
      id: expect.any(String),
      source: '/test/mine',
      type: 'video.viewed',
      subject: 'asset-0',
      time: '2026-11-20T21:00:00.000Z',
      requestid: 'request-1',
      data: { assetId: 'asset-0', userId: 'user-0' },
    })
  })

  test('a single event from another program is read as a view', async () => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    await publish('events.view.tv', JSON.stringify(TV_EVENT))
    const [batch] = await readViews(eventLog, undefined, 2)
    expect(batch?.views[1]).toEqual({
      id: 'a',
      ...TV_EVENT.data,
      at: expect.stringMatching(/^20\d\d-.*Z$/),
      producer: '/tv',
    })
  })

  test.each([
    ["another producer's serials", { source: '/tv/other', serial: '1' }],
    ['a serial and a source with a longer producer name', { source: '/tv/x.tv', serial: '1' }],
    ['a serial that is not a decimal number', { source: '/tv/tv', serial: '01' }],
    ['a serial that is not a safe integer', { source: '/tv/tv', serial: '9'.repeat(16) }],
    ['a serial that is a JSON number', { source: '/tv/tv', serial: 1 }],
  ])('an event with %s becomes a dead letter', async (_, attributes) => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    await publish('events.view.tv', JSON.stringify({ ...TV_EVENT, ...attributes }))
    const [batch] = await readViews(eventLog, undefined, 1)
    expect(batch).toMatchObject({ deadLetters: 1, rejected: [] })
  })

  test('a batch lists the serials in a dead letter, so that they do not count as lost', async () => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    const events = ['3', '4'].map((serial) => ({ ...TV_EVENT, source: '/tv/tv', serial, data: {} }))
    await publish('events.view.tv', JSON.stringify(events))
    const [batch] = await readViews(eventLog, undefined, 1)
    expect(batch).toMatchObject({ deadLetters: 1, rejected: [{ producer: 'tv', from: 3, to: 4 }] })
  })

  test('processes that create the stream at the same time agree on its incarnation', async () => {
    await using stack = new AsyncDisposableStack()
    const logs = (await Promise.all(Array.from({ length: 6 }, () => open()))).map((eventLog) => stack.use(eventLog))
    // Repeat this, because the server's responses vary.
    for (let round = 0; round < 200; round += 1) {
      const incarnations = await Promise.all(logs.map(async (eventLog) => (await eventLog.end()).incarnation))
      expect(new Set(incarnations).size).toBe(1)
      await wipe()
    }
  })

  test('a stream without an id is identified by its creation time', async () => {
    await using eventLog = await open()
    const created = await nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      return (await jsm.streams.add({ name: STREAM, subjects: [VIEWS, DEAD_LETTERS] })).created
    })
    await eventLog.append(createViews(1), never)
    expect((await eventLog.end()).incarnation).toBe(created)
  })

  test.each([
    ['plain text', 'not json'],
    ['an event of another type', JSON.stringify({ specversion: '1.0', id: 'a', source: '/tv', type: 'video.paused' })],
    [
      'a view with an invalid id',
      JSON.stringify({
        specversion: '1.0',
        id: 'a',
        source: '/tv',
        type: 'video.viewed',
        data: { assetId: '/', userId: '8' },
      }),
    ],
    ['an empty batch', '[]'],
  ])('%s is skipped, and is counted and stored as one dead letter', async (_, payload) => {
    await using eventLog = await open()
    const views = createViews(2)
    await eventLog.append(views.slice(0, 1), never)
    await publish('events.view.tv', payload)
    await eventLog.append(views.slice(1), never)
    for (let reading = 0; reading < 3; reading += 1) {
      const batches = await readViews(eventLog, undefined, 2)
      expect(idsOf(batches)).toEqual(idsOfViews(views))
      expect(batches.reduce((sum, { deadLetters }) => sum + deadLetters, 0)).toBe(1)
    }
    expect(await readDeadLetters()).toEqual({ count: 1, text: payload, reason: expect.stringMatching(/\w/) })
  })

  test('a dead letter at the end of the log advances the position', async () => {
    await using eventLog = await open()
    await eventLog.end()
    await publish('events.view.tv', 'not json')
    for await (const batch of eventLog.read(undefined, never)) {
      expect(batch).toMatchObject({ after: 0, through: 1, views: [], deadLetters: 1 })
      break
    }
  })

  test('views whose acknowledgement was lost are not stored again', async () => {
    await using eventLog = await open('mine')
    const views = createViews(3)
    await eventLog.append(views.slice(0, 1), never)
    await nats.signal('SIGSTOP')
    const lost = eventLog.append(views.slice(1, 2), AbortSignal.timeout(200))
    await expect(lost).rejects.toMatchObject({ name: 'TimeoutError' })
    await nats.signal('SIGCONT')
    await eventually(() => eventLog.append(views.slice(1, 2), AbortSignal.timeout(2_000)))
    await eventLog.append(views.slice(2), never)
    expect(idsOf(await readViews(eventLog, undefined, 3))).toEqual(idsOfViews(views))
    expect((await eventLog.end()).sequence).toBe(3)
  })

  test('events whose acknowledgement was lost are not stored again, even if the last event is a report', async () => {
    const events = createViews(3).map((view, n) => ({ ...view, serial: n + 1 }))
    const report = { ...createView(), serial: 4, watched: { viewId: events[0]?.id ?? '', seconds: 31 } }
    {
      await using before = await open('mine')
      await before.append([...events, report], never)
    }
    await using after = await open('mine')
    await after.append([...events, report], never)
    expect((await after.end()).sequence).toBe(1)
  })

  test('a partially stored append continues where it stopped', async () => {
    const views = createViews(5)
    {
      await using before = await open('mine')
      await before.append(views.slice(0, 2), never)
    }
    await using after = await open('mine')
    await after.append(views, never)
    expect(idsOf(await readViews(after, undefined, 5))).toEqual(idsOfViews(views))
  })

  test('an abandoned append cannot be stored after its successor', async () => {
    await using eventLog = await open('mine')
    const [first, abandoned, next] = [createView(), createView(), createView()]
    await eventLog.append([first], never)
    await nats.signal('SIGSTOP')
    await expect(eventLog.append([abandoned], AbortSignal.timeout(100))).rejects.toThrow()
    await nats.signal('SIGCONT')
    await eventually(() => eventLog.append([next], AbortSignal.timeout(2_000)))
    const ids = idsOf(await readViews(eventLog, undefined, (await eventLog.end()).sequence))
    expect(ids.at(-1)).toBe(next.id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('an append fails immediately while the server is down, and succeeds once it is back up', async () => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    await nats.signal('SIGKILL')
    await eventually(() => expect(eventLog.state()).toBe('down'))
    await expect(eventLog.append(createViews(1), never)).rejects.toMatchObject({ name: 'NatsDownError' })
    await nats.start()
    await eventually(() => eventLog.append(createViews(1), never))
    expect((await eventLog.end()).sequence).toBe(2)
  })

  test('a reader throws when the server goes down, and can resume from its position', async () => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    const position = await eventLog.end()
    const reading = readViews(eventLog, position, 1)
    const interrupted = expect(reading).rejects.toMatchObject({ name: 'NatsDownError' })
    await waitForReader()
    await nats.signal('SIGKILL')
    await interrupted
    await nats.start()
    const view = createView()
    await eventually(() => eventLog.append([view], never))
    expect(idsOf(await readViews(eventLog, position, 1))).toEqual([view.id])
  })

  test('a reader throws NatsDownError if the server goes down before the first read', async () => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    await nats.signal('SIGSTOP')
    const interrupted = expect(readViews(eventLog, undefined, 1)).rejects.toMatchObject({ name: 'NatsDownError' })
    await nats.signal('SIGKILL')
    await interrupted
  })

  test('a reader throws when the stream is deleted', async () => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    const reading = readViews(eventLog, await eventLog.end(), 1)
    const interrupted = expect(reading).rejects.toThrow()
    await waitForReader()
    await wipe()
    await interrupted
  })

  describe('a dead letter', () => {
    /** Publishes a message whose headers may have multiple values. Returns the sequence. */
    async function publishWith(subject: string, body: string, values: Record<string, string | string[]>) {
      const messageHeaders = headers()
      for (const [name, value] of Object.entries(values))
        for (const text of [value].flat()) messageHeaders.append(name, text)
      return nats.use(
        async (connection) => (await connection.jetstream().publish(subject, body, { headers: messageHeaders })).seq,
      )
    }

    const countOn = (subject: string) =>
      nats.use(async (connection) => {
        const jsm = await connection.jetstreamManager()
        const { state } = await jsm.streams.info(STREAM, { subjects_filter: subject })
        return state.subjects?.[subject] ?? 0
      })

    /** The headers of a message that resolves a dead letter. */
    const resolving = (sequence: number, action: 'Replayed' | 'Deleted') => ({
      'Rejected-Sequence': String(sequence),
      'Rejected-Subject': 'events.view.tv',
      'Rejected-Reason': 'invalid',
      [`Rejected-${action}`]: 'true',
    })

    async function openWithLetter(): Promise<Handle> {
      const eventLog = await open()
      await eventLog.end()
      await publish('events.view.tv', 'not json')
      await readToEnd(eventLog)
      return eventLog
    }

    test("has the original's subject, and all of its header values", async () => {
      await using eventLog = await open()
      await eventLog.end()
      await publishWith('events.view.tv', 'not json', { Via: ['a', 'b'], 'X-Id': '1' })
      await readToEnd(eventLog)
      expect(await eventLog.deadLetters.get(1)).toMatchObject({
        subject: 'events.view.tv',
        headers: { Via: ['a', 'b'], 'X-Id': ['1'] },
      })
      const copy = await nats.use(async (connection) =>
        (await connection.jetstreamManager()).streams.getMessage(STREAM, { last_by_subj: DEAD_LETTERS }),
      )
      expect(copy.header.values('Via')).toEqual(['a', 'b'])
    })

    test('whose original was removed is replayed from its copy', async () => {
      await using eventLog = await open()
      await eventLog.append([createView()], never)
      await eventLog.reject(1, 'reporting responded 400')
      const original = await eventLog.deadLetters.get(1)
      await nats.use(async (connection) => (await connection.jetstreamManager()).streams.deleteMessage(STREAM, 1))
      const headers = { 'Content-Type': ['application/cloudevents-batch+json'] }
      expect(await eventLog.deadLetters.get(1)).toEqual({ ...original, headers })
      expect(await eventLog.deadLetters.replay(1)).toMatchObject({ outcome: 'resolved', views: 1 })
    })

    test('is replayed as CloudEvents with a new producer and new serials, and is otherwise unchanged', async () => {
      await using eventLog = await open()
      const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
      await eventLog.append([{ ...createView(), traceparent }, createView()], never)
      await eventLog.reject(1, 'reporting responded 400')
      await eventLog.deadLetters.replay(1)
      const message = await nats.use(async (connection) =>
        (await connection.jetstreamManager()).streams.getMessage(STREAM, { last_by_subj: 'events.view.dead-letter.1' }),
      )
      expect(message.header.get('Content-Type')).toBe('application/cloudevents-batch+json')
      const source = '/dead-letters/dead-letter.1'
      expect(JSON.parse(message.string())).toMatchObject([
        { source, serial: '1', traceparent, requestid: 'request-1', subject: 'asset-0' },
        { source, serial: '2' },
      ])
    })

    test('is not missed over a slow connection', async () => {
      await using eventLog = await open()
      await eventLog.end()
      await nats.use(async (connection) => {
        for (let n = 0; n < 1_000; n += 1) await connection.jetstream().publish('events.view.tv', 'not json')
      })
      await readToEnd(eventLog)
      // The headers of 1,000 dead letters do not arrive before the pull times out.
      await using proxy = await startTcpProxy(nats.url, 0, { bytesPerSecond: 100_000 })
      await using slow = await open(undefined, proxy.url)
      expect(await slow.deadLetters.count()).toBe(1_000)
    })

    test('is removed from events.rejected once it is replayed or deleted', async () => {
      await using eventLog = await openWithLetter()
      expect(await countOn(DEAD_LETTERS)).toBe(1)
      await eventLog.deadLetters.delete(1)
      expect(await countOn(DEAD_LETTERS)).toBe(0)
    })

    test.each(['list', 'replay', 'delete', 'read'])(
      'that is resolved, but still in events.rejected, is removed from there by the next %s',
      async (call) => {
        await using eventLog = await openWithLetter()
        await publishWith('events.view.dead-letter.1', '', resolving(1, 'Deleted'))
        if (call === 'list') expect(await sequencesOf(eventLog)).toEqual([])
        if (call === 'replay')
          expect(await eventLog.deadLetters.replay(1)).toMatchObject({ outcome: 'already resolved' })
        if (call === 'delete')
          expect(await eventLog.deadLetters.delete(1)).toMatchObject({ outcome: 'already resolved' })
        if (call === 'read') await readToEnd(eventLog)
        expect(await countOn(DEAD_LETTERS)).toBe(0)
      },
    )

    test('that another process resolved is not resolved again', async () => {
      await using one = await openWithLetter()
      await using other = await open()
      expect(await sequencesOf(other)).toEqual([1])
      await one.deadLetters.replay(1, toBody(eventOf('a')))
      const resolution = { action: 'replayed', at: expect.any(String) }
      expect(await other.deadLetters.delete(1)).toEqual({ outcome: 'already resolved', resolution })
      expect(await sequencesOf(other)).toEqual([])
    })

    test('is no longer listed once it is purged', async () => {
      await using eventLog = await openWithLetter()
      expect(await sequencesOf(eventLog)).toEqual([1])
      await nats.use(async (connection) =>
        (await connection.jetstreamManager()).streams.purge(STREAM, { filter: DEAD_LETTERS }),
      )
      expect(await eventLog.deadLetters.count()).toBe(0)
      expect(await sequencesOf(eventLog)).toEqual([])
    })

    test.each([
      ["another program's views", () => ({ body: JSON.stringify(eventOf('foreign')), headers: {} })],
      ['an invalid message', () => ({ body: 'garbage', headers: {} })],
      ['a deletion with a body', () => ({ body: 'garbage', headers: resolving(1, 'Deleted') })],
      ['a deletion of another dead letter', () => ({ body: '', headers: resolving(2, 'Deleted') })],
      ['a deletion without a reason', () => ({ body: '', headers: { 'Rejected-Deleted': 'true' } })],
    ])('stays unresolved while its replay subject holds %s, and can still be replayed', async (_, create) => {
      await using eventLog = await openWithLetter()
      const { body, headers } = create()
      await publishWith('events.view.dead-letter.1', body, headers)
      await readToEnd(eventLog)
      expect(await sequencesOf(eventLog)).toContain(1)
      expect(await eventLog.deadLetters.replay(1, toBody(eventOf('a')))).toMatchObject({ outcome: 'resolved' })
      expect(await sequencesOf(eventLog)).not.toContain(1)
      expect(idsOf(await readToEnd(eventLog)).filter((id) => id === 'a')).toHaveLength(1)
    })

    test("is not resolved by a message on another dead letter's subject", async () => {
      await using eventLog = await openWithLetter()
      await publish('events.view.tv', 'not json')
      await readToEnd(eventLog)
      const [first = 0, second = 0] = await sequencesOf(eventLog)
      await publishWith(`events.view.dead-letter.${second}`, '', resolving(first, 'Deleted'))
      await readToEnd(eventLog)
      expect(await sequencesOf(eventLog)).toEqual(expect.arrayContaining([first, second]))
    })

    test('is not resolved by a message that is older than its original', async () => {
      await using eventLog = await open()
      await eventLog.end()
      await publishWith('events.view.dead-letter.2', '', resolving(2, 'Deleted'))
      await publish('events.view.tv', 'not json')
      await readToEnd(eventLog)
      expect(await sequencesOf(eventLog)).toEqual([1, 2])
    })

    test('can be an invalid message published on the subject for replays', async () => {
      await using eventLog = await open()
      await eventLog.end()
      await publish('events.view.dead-letter.1', 'garbage')
      await readToEnd(eventLog)
      expect(await sequencesOf(eventLog)).toEqual([1])
      await eventLog.deadLetters.replay(1, toBody(eventOf('a')))
      expect(idsOf(await readToEnd(eventLog))).toEqual(['a'])
      expect(await sequencesOf(eventLog)).toEqual([])
    })

    test('that another program forged does not hide a valid message', async () => {
      await using eventLog = await open()
      const view = createView()
      await eventLog.append([view], never)
      await publishWith(DEAD_LETTERS, '{}', { 'Rejected-Sequence': '1' })
      expect(idsOf(await readToEnd(eventLog))).toEqual([view.id])
      expect(await sequencesOf(eventLog)).toEqual([])
    })

    test('is stored even if it is as large as NATS allows and its subject is long and not ASCII', async () => {
      await using eventLog = await open()
      await eventLog.end()
      const subject = `events.view.${'€'.repeat(1_000)}`
      await publish(subject, 'x'.repeat(1_024 * 1_024 - 4_096))
      await readToEnd(eventLog)
      expect(await sequencesOf(eventLog)).toEqual([1])
    })

    test('stays unresolved if its replay would be larger than NATS allows', async () => {
      await using eventLog = await open()
      await eventLog.append(createViews(1), never)
      await eventLog.reject(1, 'reporting responded 400')
      const { data, ...event } = eventOf((await readIdOf(eventLog)) ?? '')
      const corrected = toBody({ ...event, data, vendor: 'x'.repeat(1_024 * 1_024) })
      expect(await eventLog.deadLetters.replay(1, corrected)).toEqual({
        outcome: 'invalid',
        reason: expect.stringContaining('max_payload'),
      })
      expect(await sequencesOf(eventLog)).toEqual([1])
    })

    test('cannot be listed, read or resolved while the server is down', async () => {
      await using eventLog = await openWithLetter()
      await nats.signal('SIGKILL')
      await eventually(() => expect(eventLog.state()).toBe('down'))
      const { list, get, replay, delete: remove, count } = eventLog.deadLetters
      for (const call of [() => list({ limit: 1 }), () => get(1), () => replay(1), () => remove(1), count]) {
        await expect(call()).rejects.toMatchObject({ name: 'UnavailableError' })
      }
    })

    async function readIdOf(eventLog: Handle): Promise<string | undefined> {
      const letter = await eventLog.deadLetters.get(1)
      return JSON.parse(Buffer.from(letter?.body ?? []).toString())[0].id
    }
  })
})
