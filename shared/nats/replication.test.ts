import { StorageType, StoreCompression, type StreamConfig } from 'nats'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { type NatsServer, natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { createJetStreamEventLog } from '../event-log/jetstream-event-log.ts'
import { STREAM } from '../event-log/stream.ts'
import { openNatsLink } from './link.ts'
import type { ReplicationSettings } from './replication.ts'
import { isAtLeast, REPLICATING_VERSION } from './server-version.ts'

const isModern = natsVersion !== undefined && isAtLeast(natsVersion, REPLICATING_VERSION)

test.each([
  ['2.9.25', false],
  ['2.10.0', true],
  ['2.10.0-beta.1', true],
  ['2.15.1', true],
  ['3.0.0', true],
  ['', false],
])('nats-server %s replicates safely: %s', (version, expected) => {
  expect(isAtLeast(version, REPLICATING_VERSION)).toBe(expected)
})

describe.skipIf(!natsVersion)("the log's replication", () => {
  async function open(nats: NatsServer, settings: ReplicationSettings) {
    await using stack = new AsyncDisposableStack()
    const lines: { level: number; msg: string }[] = []
    const log = pino({}, { write: (line) => lines.push(JSON.parse(line)) })
    const link = stack.use(openNatsLink({ servers: [nats.url], name: 'test', log: pino({ level: 'silent' }) }))
    const eventLog = stack.use(createJetStreamEventLog({ nats: link, log, ...settings }))
    await link.up(AbortSignal.timeout(5_000))
    const moved = stack.move()
    return { eventLog, lines, [Symbol.asyncDispose]: () => moved.disposeAsync() }
  }

  const configOf = (nats: NatsServer): Promise<StreamConfig> =>
    nats.use(async (connection) => (await (await connection.jetstreamManager()).streams.info(STREAM)).config)

  const append = async ({ eventLog }: Awaited<ReturnType<typeof open>>) => {
    const view = { id: 'a', assetId: '456', userId: '8', at: '2026-11-20T21:00:00Z' }
    await eventLog.producer('/test').append([view], AbortSignal.timeout(5_000))
  }

  test('a single server cannot keep three replicas: one error is logged, and the log keeps one replica', async () => {
    await using nats = await startNatsServer()
    await using owner = await open(nats, { replicas: 3, isOwner: true })
    await append(owner)
    const { eventLog, lines } = owner
    await eventually(() => expect(eventLog.problem?.()).toContain('EVENTS_REPLICAS is 3, but EVENTS has 1 replica'))
    const remedy = isModern ? /non-clustered mode; start 3 servers as one cluster$/ : /upgrade every server to 2\.10 or/
    expect(eventLog.problem?.()).toMatch(remedy)
    if (!isModern) expect(eventLog.problem?.()).toContain(`nats-server ${natsVersion}`)
    expect(eventLog.state()).toBe('up')
    expect(eventLog.replicas?.()).toEqual({ wanted: 3, configured: 1, online: 1 })
    expect((await configOf(nats)).num_replicas).toBe(1)
    // Wait long enough for a second check.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(lines.filter(({ level }) => level >= 40)).toMatchObject([{ level: 50, msg: eventLog.problem?.() }])
  })

  test('one replica needs no cluster, and is not reported as a problem', async () => {
    await using nats = await startNatsServer()
    await using owner = await open(nats, { replicas: 1, isOwner: true })
    await append(owner)
    await eventually(() => expect(owner.eventLog.replicas?.()).toEqual({ wanted: 1, configured: 1, online: 1 }))
    expect(owner.eventLog.problem?.()).toBeUndefined()
    expect(owner.lines).toEqual([])
  })

  test.runIf(isModern)('a new log is compressed, and the owner compresses an existing one', async () => {
    await using nats = await startNatsServer()
    const storage = StorageType.File
    await nats.use(async (connection) =>
      (await connection.jetstreamManager()).streams.add({ name: STREAM, subjects: ['events.view.>'], storage }),
    )
    await using reader = await open(nats, {})
    await eventually(() => expect(reader.eventLog.state()).toBe('up'))
    expect((await configOf(nats)).compression).toBe(StoreCompression.None)
    {
      await using _ = await open(nats, { isOwner: true })
      await eventually(async () => expect((await configOf(nats)).compression).toBe(StoreCompression.S2))
    }
    await nats.deleteStream(STREAM)
    await reader.eventLog.end()
    expect((await configOf(nats)).compression).toBe(StoreCompression.S2)
  })
})
