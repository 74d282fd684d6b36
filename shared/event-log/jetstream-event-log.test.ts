import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { type NatsServer, natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { openNatsLink } from '../nats/link.ts'
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

const log = pino({ level: 'silent' })
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
  })

  async function open(producerId?: string): Promise<Handle> {
    const link = openNatsLink({ servers: [nats.url], name: 'test', log })
    await link.up(AbortSignal.timeout(5_000))
    const handle = openHandle(createJetStreamEventLog({ nats: link, log }), producerId)
    return { ...handle, [Symbol.asyncDispose]: () => link[Symbol.asyncDispose]() }
  }

  async function wipe(): Promise<void> {
    await nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      await jsm.streams.delete(STREAM).catch(() => false)
    })
  }

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

  describeEventLog(() => ({ open: () => open(), wipe }))

  test('the owner sets the maximum age of the stream; without a setting, it stays unchanged', async () => {
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

  test('reading the backlog does not create the stream', async () => {
    await using eventLog = await open()
    expect(await eventLog.backlog(undefined)).toEqual({ messages: 0, since: undefined })
    const names = await nats.use(async (connection) =>
      (await (await connection.jetstreamManager()).streams.names().next()).toSorted(),
    )
    expect(names).not.toContain(STREAM)
  })

  test('views of maximum length fit into the maximum message size of NATS', async () => {
    await using eventLog = await open('n'.repeat(22))
    const long = { assetId: 'a'.repeat(128), userId: 'u'.repeat(128), requestId: 'r'.repeat(128) }
    const trace = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: '"'.repeat(512) }
    const views = createViews(1_000).map((view) => ({ ...view, ...long, ...trace }))
    await eventLog.append(views, never)
    expect(idsOf(await readViews(eventLog, undefined, 1_000))).toEqual(idsOfViews(views))
  })

  test('the views of one append share a message', async () => {
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

  test('a single event from another program is a view', async () => {
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
    ['the serials of another producer', { source: '/tv/other', serial: '1' }],
    ['a serial of a producer with a longer name', { source: '/tv/x.tv', serial: '1' }],
    ['a serial that is not a decimal number', { source: '/tv/tv', serial: '01' }],
    ['a serial that a number cannot represent', { source: '/tv/tv', serial: '9'.repeat(16) }],
    ['a serial that is a number', { source: '/tv/tv', serial: 1 }],
  ])('an event with %s is a dead letter', async (_, attributes) => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    await publish('events.view.tv', JSON.stringify({ ...TV_EVENT, ...attributes }))
    const [batch] = await readViews(eventLog, undefined, 1)
    expect(batch).toMatchObject({ deadLetters: 1, rejected: [] })
  })

  test('a dead letter accounts for the serials that it holds', async () => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    const events = ['3', '4'].map((serial) => ({ ...TV_EVENT, source: '/tv/tv', serial, data: {} }))
    await publish('events.view.tv', JSON.stringify(events))
    const [batch] = await readViews(eventLog, undefined, 1)
    expect(batch).toMatchObject({ deadLetters: 1, rejected: [{ producer: 'tv', from: 3, to: 4 }] })
  })

  test('processes that create the stream at the same time agree on its incarnation', async () => {
    const logs = await Promise.all([open(), open(), open()])
    const incarnations = await Promise.all(logs.map(async (eventLog) => (await eventLog.end()).incarnation))
    expect(new Set(incarnations).size).toBe(1)
    for (const eventLog of logs) await eventLog[Symbol.asyncDispose]()
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
  ])('%s is skipped, counted, and stored once as a dead letter', async (_, payload) => {
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

  test('a dead letter at the end advances the position', async () => {
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

  test('a reader ends when the server goes down, and can resume from its position', async () => {
    await using eventLog = await open()
    await eventLog.append(createViews(1), never)
    const position = await eventLog.end()
    const reading = readViews(eventLog, position, 1)
    const interrupted = expect(reading).resolves.toEqual([])
    await waitForReader()
    await nats.signal('SIGKILL')
    await interrupted
    await nats.start()
    const view = createView()
    await eventually(() => eventLog.append([view], never))
    expect(idsOf(await readViews(eventLog, position, 1))).toEqual([view.id])
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
})
