import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Position } from '../shared/contracts/position.ts'
import { STREAM } from '../shared/event-log/stream.ts'
import { readinessOf } from './harness/counting.ts'
import { runCounts } from './harness/counts-command.ts'
import { eventually } from './harness/eventually.ts'
import { appendViews } from './harness/long-log.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { type System, startSystem } from './harness/system.ts'

const WRITE_TOKEN = 'the-token'
const SUSPENDED = 'counting is suspended'

describe('npm run counts', { concurrent: true }, () => {
  const env = { REPORTING_URL: 'http://127.0.0.1:1', NATS_URL: 'nats://127.0.0.1:1' }

  test.each([
    [['--help'], 0, /accept-loss.*--yes/s],
    [['forget'], 2, /^npm run counts: unknown command "forget"; --help lists the commands$/],
    [['status', 'now'], 2, /unexpected argument "now"/],
    [['status', '--yes'], 2, /only accept-loss accepts --yes/],
    [[], 0, /reporting +http:\/\/127\.0\.0\.1:1: unreachable\n.*log +the log is not available/s],
    [['accept-loss', '--yes'], 1, /^npm run counts: reporting is not reachable at http:\/\/127\.0\.0\.1:1$/],
  ])('%j exits with status %i', async (args, status, text) => {
    expect(await runCounts(env, ...args)).toEqual({ status, text: expect.stringMatching(text) })
  })
})

describe.skipIf(!natsVersion)('messages that are purged before they are counted', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ WRITE_TOKEN })
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const positionOf = async () => (await getJson(`${system.reporting.url}/events/position`)) as Position | null
  const missing = () => metric(system.listener.url, /^event_log_missing_messages/)
  const purge = (seq?: number) =>
    system.nats.use(async (connection) => {
      const jsm = await connection.jetstreamManager()
      await jsm.streams.purge(STREAM, seq === undefined ? undefined : { seq })
    })

  /** While queue-listener is stopped, appends messages, purges the first `count` of them, and keeps the last `keep`. */
  async function loseMessages(count: number, keep: number): Promise<void> {
    const { listener, nats } = system
    await listener.signal('SIGTERM')
    await listener.ended()
    const { sequence } = (await positionOf()) ?? { sequence: 0 }
    await appendViews(nats, (count + keep) * 50)
    await purge(keep > 0 ? sequence + count + 1 : undefined)
    await listener.start()
  }

  async function expectSuspended(count: number): Promise<void> {
    const { listener, play: edge } = system
    await eventually(async () => {
      const { status, forwarding } = await readinessOf(listener.url)
      expect([status, forwarding?.state]).toEqual(['degraded', 'stalled'])
      expect(forwarding?.reason).toContain(`(${count} in total), which have not been counted`)
    })
    expect(await missing()).toBe(count)
    const listenerStatus = { state: 'degraded', stalled: true, reason: expect.stringContaining('accept-loss') }
    await eventually(async () => {
      expect(await getJson(`${edge.url}/status`)).toMatchObject({
        status: 'degraded',
        parts: { 'queue-listener': listenerStatus },
      })
    })
    const lines = listener.lines().filter((line) => line.includes(SUSPENDED))
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ level: 50, err: { type: 'LogTruncatedError' } }])
  }

  async function acceptLoss(): Promise<void> {
    expect(await runCounts({ ...system.env }, 'accept-loss', '--yes')).toMatchObject({ status: 0 })
    await eventually(async () => expect((await readinessOf(system.listener.url)).status).toBe('ready'))
    expect(await missing()).toBe(0)
  }

  test('suspend counting until the loss is accepted', async () => {
    await eventually(async () => expect((await play(system.play.url, '456', 'first')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'asset', '456')).toBeGreaterThan(0))
    const before = await positionOf()
    await loseMessages(6, 4)
    await expectSuspended(6)
    const unconfirmed = await runCounts({ ...system.env }, 'accept-loss')
    expect(unconfirmed.status).toBe(1)
    expect(unconfirmed.text).toMatch(/Missing: 6 messages, sequences \d+ to \d+\nOldest retained message: stored at 20/)
    const refused = await runCounts({ ...system.env, WRITE_TOKEN: 'wrong' }, 'accept-loss', '--yes')
    expect([refused.status, refused.text]).toEqual([1, expect.stringContaining('401')])
    expect(await positionOf()).toEqual(before)
    expect((await runCounts({ ...system.env })).text).toMatch(/^missing +6 messages/m)

    await acceptLoss()
    await eventually(async () => expect(await views(system.reporting.url, 'asset', 'filler')).toBe(200))
    expect((await runCounts({ ...system.env }, 'accept-loss')).text).toContain('no loss to accept')
  })

  test('also suspend counting if the log is empty', async () => {
    await loseMessages(3, 0)
    await expectSuspended(3)
    await acceptLoss()
    expect((await play(system.play.url, '456', 'second')).status).toBe(200)
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'second')).toBe(1))
  })

  test('also suspend counting at the start of a recreated log', async () => {
    const { listener, nats, play: edge } = system
    await listener.signal('SIGTERM')
    await listener.ended()
    await nats.deleteStream(STREAM)
    expect((await play(edge.url, '456', 'third')).status).toBe(200)
    await purge()
    await listener.start()
    await expectSuspended(1)
    await acceptLoss()
    expect((await play(edge.url, '456', 'fourth')).status).toBe(200)
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'fourth')).toBe(1))
  })

  test('suspend counting if reporting has no counts and the log does not start at its first message', async () => {
    const { reporting } = system
    await reporting.signal('SIGKILL')
    await reporting.start()
    const { sequence } = (await positionOf()) ?? { sequence: 0 }
    expect(sequence).toBe(0)
    await eventually(async () => expect(await missing()).toBeGreaterThan(0))
    expect((await readinessOf(reporting.url)).counting?.state).not.toBe('current')
    await acceptLoss()
    await eventually(async () => expect(await views(reporting.url, 'user', 'fourth')).toBe(1))
  })
})
