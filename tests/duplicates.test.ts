import type { StoredMsg } from 'nats'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { STREAM, VIEWS } from '../shared/event-log/stream.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views, warmUp } from './harness/plays.ts'
import { type System, startSystem, WITHOUT_CHECKPOINT } from './harness/system.ts'

describe.skipIf(!natsVersion)('whatever the log duplicates or loses,', () => {
  let system: System
  let user = 0
  beforeAll(async () => {
    // The long timeout keeps views out of the outbox, from which they would reach the log too late.
    system = await startSystem({ ...WITHOUT_CHECKPOINT, APPEND_TIMEOUT: '5s' })
    await warmUp(system.play.url)
  })
  beforeEach(() => {
    user += 1
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('a message that the log contains three times is counted once, even in a replay', async () => {
    await playOnce()
    const { subject, data } = await lastMessage()
    for (const _ of [1, 2]) await publish(subject, data)
    await playOnce()
    await expectCounted(2)
    expect(await metric(system.reporting.url, /^duplicate_views_total /)).toBe(2)
    await restartReporting()
    await expectCounted(2)
  })

  test('an event from another program is counted once, even without a serial', async () => {
    const event = {
      specversion: '1.0',
      id: `import-${user}`,
      source: '/importer',
      type: 'video.viewed',
      data: { assetId: '456', userId: `user-${user}` },
    }
    for (const _ of [1, 2, 3]) await publish('events.view.importer', JSON.stringify(event))
    await publish('events.view.importer', JSON.stringify({ ...event, id: 'next' }))
    await expectCounted(2)
    await restartReporting()
    await expectCounted(2)
  })

  test('an acknowledged view that the log loses is reported with its producer and serial, even after a replay', async () => {
    const before = await lost()
    await system.listener.signal('SIGKILL')
    await playOnce()
    await playOnce()
    const gap = await loseLastMessage()
    await playOnce()
    await system.listener.start()
    await expectCounted(2)
    expect(await lost()).toEqual({ views: before.views + 1, gaps: [...before.gaps, gap] })
    expect(await metric(system.reporting.url, /^lost_views_total /)).toBe(before.views + 1)
    await restartReporting()
    await eventually(async () => expect(await lost()).toMatchObject({ gaps: expect.arrayContaining([gap]) }))
  })

  test("if a producer's last views are lost, they are reported as soon as the next producer names its predecessor", async () => {
    await playOnce()
    await expectCounted(1)
    await system.listener.signal('SIGKILL')
    await playOnce()
    const gap = await loseLastMessage()
    await system.nats.signal('SIGKILL')
    await playOnce()
    await system.nats.start()
    await eventually(async () => expect(await metric(system.play.url, /^outbox_waiting_views /)).toBe(0))
    await playOnce()
    await system.listener.start()
    await eventually(async () => expect((await lost()).gaps).toContainEqual(gap))
    await expectCounted(3)
  })

  test('views that were not counted when the stream was deleted are reported as lost', async () => {
    await playOnce()
    await expectCounted(1)
    await system.listener.signal('SIGKILL')
    await playOnce()
    const gap = await gapOf(await lastMessage())
    await system.nats.use(async (connection) => (await connection.jetstreamManager()).streams.delete(STREAM))
    await playOnce()
    await system.listener.start()
    await expectCounted(2)
    expect((await lost()).gaps).toContainEqual(gap)
  })

  async function playOnce(): Promise<void> {
    expect((await play(system.play.url, '456', `user-${user}`)).status).toBe(200)
  }

  async function expectCounted(count: number): Promise<void> {
    await eventually(async () => expect(await views(system.reporting.url, 'user', `user-${user}`)).toBe(count))
  }

  const lost = () => getJson(`${system.reporting.url}/events/lost`) as Promise<{ views: number; gaps: object[] }>

  async function restartReporting(): Promise<void> {
    await system.reporting.signal('SIGKILL')
    await system.reporting.start()
  }

  const lastMessage = () =>
    system.nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      return jsm.streams.getMessage(STREAM, { last_by_subj: VIEWS })
    })

  /** Publishes without the expected sequence that prevents duplicates. */
  async function publish(subject: string, data: string | Uint8Array): Promise<void> {
    await system.nats.use((connection) => connection.jetstream().publish(subject, data))
  }

  async function loseLastMessage() {
    const message = await lastMessage()
    await system.nats.use(async (connection) =>
      (await connection.jetstreamManager()).streams.deleteMessage(STREAM, message.seq),
    )
    return gapOf(message)
  }

  function gapOf(message: StoredMsg) {
    const [{ serial }] = message.json<[{ serial: string }]>()
    return { producer: message.subject.split('.').at(-1), from: Number(serial), to: Number(serial) }
  }
})
