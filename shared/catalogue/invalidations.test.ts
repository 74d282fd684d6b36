import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { eventually } from '../../tests/harness/eventually.ts'
import { startConfiguredNats } from '../../tests/harness/nats-config.ts'
import { type NatsServer, natsVersion, startNatsServer } from '../../tests/harness/nats-server.ts'
import { openNatsLink } from '../nats/link.ts'
import type { Invalidation } from './invalidations.ts'
import { createLocalInvalidations } from './local-invalidations.ts'
import { createNatsInvalidations } from './nats-invalidations.ts'

const metadata = (id: string): Invalidation => ({ service: 'metadata', id })

test('local invalidations reach every subscriber', () => {
  const invalidations = createLocalInvalidations()
  invalidations.publish(metadata('0'))
  const [one, other] = [vi.fn(), vi.fn()]
  invalidations.subscribe(one, vi.fn())
  invalidations.subscribe(other, vi.fn())
  invalidations.publish(metadata('1'))
  expect([one.mock.calls, other.mock.calls]).toEqual([[[metadata('1')]], [[metadata('1')]]])
})

describe.skipIf(!natsVersion)('invalidations over NATS', () => {
  const stack = new AsyncDisposableStack()
  let nats: NatsServer
  beforeAll(async () => {
    nats = stack.use(await startNatsServer())
  })
  afterAll(() => stack.disposeAsync())

  function setUp(url = nats.url) {
    const link = stack.use(openNatsLink({ servers: [url], name: 'test', log: pino({ level: 'silent' }) }))
    return { link, invalidations: createNatsInvalidations(link) }
  }

  test('reach other processes, whatever characters an id contains', async () => {
    const [sender, receiver] = [setUp(), setUp()]
    const [received, gaps] = [vi.fn(), vi.fn()]
    receiver.invalidations.subscribe(received, gaps)
    await sender.link.up(AbortSignal.timeout(5_000))
    await receiver.link.up(AbortSignal.timeout(5_000))
    await receiver.link.connection().flush()
    const sent = ['1', 'a.b_c@d~e-f', 'a..b.', 'x'.repeat(128)].map(metadata)
    for (const invalidation of sent) sender.invalidations.publish(invalidation)
    await eventually(() => expect(received.mock.calls.map(([invalidation]) => invalidation)).toEqual(sent))
    expect(gaps).not.toHaveBeenCalled()
  })

  test('do not close the connection if the NATS user is not allowed to subscribe', async () => {
    const user = 'user: u, password: p, permissions: { subscribe: "_INBOX.>" }'
    const restricted = stack.use(await startConfiguredNats(`authorization { users: [{ ${user} }] }`, 'no_auth_user: u'))
    const { link, invalidations } = setUp(restricted.url)
    const [received, gaps] = [vi.fn(), vi.fn()]
    invalidations.subscribe(received, gaps)
    const connection = await link.up(AbortSignal.timeout(5_000))
    // The server responds in order, so the permission error arrives before the flush completes.
    await connection.flush()
    expect(link.connection()).toBe(connection)
    expect([received.mock.calls, gaps.mock.calls]).toEqual([[], []])
  })

  test('are dropped while NATS is down, and each reconnect reports a gap', async () => {
    const { link, invalidations } = setUp()
    const [received, gaps] = [vi.fn(), vi.fn()]
    invalidations.subscribe(received, gaps)
    await link.up(AbortSignal.timeout(5_000))
    expect(gaps).not.toHaveBeenCalled()
    await nats.signal('SIGKILL')
    await eventually(() => expect(link.state()).toBe('down'))
    invalidations.publish(metadata('lost'))
    await nats.start()
    await eventually(() => expect(gaps).toHaveBeenCalledTimes(1))
    await eventually(() => {
      invalidations.publish(metadata('1'))
      expect(received).toHaveBeenCalled()
    })
    for (const [invalidation] of received.mock.calls) expect(invalidation).toEqual(metadata('1'))
  })
})
