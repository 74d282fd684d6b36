import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Audit } from '../shared/contracts/audit.ts'
import { eventually } from './harness/eventually.ts'
import { playAs } from './harness/keyed-plays.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, views, warmUp } from './harness/plays.ts'
import { connectHttp } from './harness/raw-http.ts'
import { repeatAfterPause } from './harness/running-time.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

const OUTAGE = ['events']

describe.skipIf(!natsVersion)('plays with the same idempotency key', () => {
  let system: System
  let otherEdge: ServiceProcess
  let user = ''
  let users = 0
  let markers = 0
  const stack = new AsyncDisposableStack()
  beforeAll(async () => {
    system = stack.use(await startSystem())
    otherEdge = stack.use(await startService('play', system.env))
    await Promise.all([warmUp(system.play.url), warmUp(otherEdge.url)])
  })
  beforeEach(() => {
    users += 1
    user = `user-${users}`
  })
  afterAll(() => stack.disposeAsync())

  const play = (key: string, { url }: { url: string } = system.play, assetId = '456') =>
    playAs(url, user, { key, assetId })

  /** Waits until everything in the log is counted, then expects this many views by the user. */
  async function expectCounted(count: number): Promise<void> {
    await eventually(async () => {
      for (const edge of [system.play, otherEdge]) expect(await metric(edge.url, /^outbox_waiting_views /)).toBe(0)
    })
    markers += 1
    const marker = `marker-${markers}`
    await eventually(async () =>
      expect((await playAs(system.play.url, marker, {})).body).not.toHaveProperty('degraded'),
    )
    await eventually(async () => expect(await views(system.reporting.url, 'user', marker)).toBeGreaterThanOrEqual(1))
    expect(await views(system.reporting.url, 'user', user)).toBe(count)
  }

  test('through the same edge are counted as one view, and a retry returns the same id and the current counts', async () => {
    const { viewId } = await play('k')
    const same = { status: 200, viewId: viewId ?? 'none', body: { userviews: 1 } }
    for (let retries = 0; retries < 3; retries += 1) expect(await play('k')).toMatchObject(same)
    await expectCounted(1)
    expect(await play('k')).toMatchObject(same)
    expect(await play('another')).toMatchObject({ status: 200, body: { userviews: 2 } })
    await eventually(async () => expect(await play('k')).toMatchObject({ viewId, body: { userviews: 2 } }))
    await expectCounted(2)
  })

  test('through two edges are counted as one view, whether or not the first play has been counted', async () => {
    const { viewId } = await play('k')
    expect(await play('k', otherEdge)).toMatchObject({ status: 200, viewId, body: { userviews: 1 } })
    await expectCounted(1)
    const before = await metric(otherEdge.url, /^recorded_views_total/)
    expect(await play('k', otherEdge)).toMatchObject({ status: 200, viewId, body: { userviews: 1 } })
    expect(await metric(otherEdge.url, /^recorded_views_total/)).toBe(before)
    await expectCounted(1)
  })

  test('by different users are separate views', async () => {
    const { viewId } = await play('shared')
    user = `${user}-other`
    const other = await play('shared')
    expect(other).toMatchObject({ status: 200, body: { userviews: 1 } })
    expect(other.viewId).not.toBe(viewId)
    await expectCounted(1)
  })

  test('during an outage of the log are counted as one view, although the outboxes of both edges contain it', async () => {
    await system.nats.signal('SIGKILL')
    const { viewId } = await play('k')
    for (const edge of [otherEdge, system.play]) expect(await play('k', edge)).toMatchObject({ status: 200, viewId })
    for (const edge of [otherEdge, system.play]) {
      expect(await metric(edge.url, /^outbox_waiting_views /)).toBeGreaterThanOrEqual(1)
    }
    await system.nats.start()
    await warmUp(system.play.url)
    await expectCounted(1)
  })

  test('are counted as one view if the edge is killed in between, whether the view is in its outbox or in the log', async () => {
    await system.nats.signal('SIGKILL')
    const { viewId, body } = await play('k')
    expect(body.degraded).toEqual(OUTAGE)
    await restart(system.play)
    expect(await play('k')).toMatchObject({ status: 200, viewId })
    await system.nats.start()
    await warmUp(system.play.url)
    await restart(system.play)
    await warmUp(system.play.url)
    expect(await play('k')).toMatchObject({ status: 200, viewId })
    await expectCounted(1)
  })

  test('are counted as one view while reporting is down, and after it has loaded its checkpoint', async () => {
    const { viewId } = await play('k')
    await restart(system.reporting)
    for (const edge of [system.play, otherEdge]) expect(await play('k', edge)).toMatchObject({ status: 200, viewId })
    await expectCounted(1)
  })

  test('are counted as one view if they are sent concurrently', async () => {
    const responses = await Promise.all(Array.from({ length: 20 }, () => play('k')))
    const [{ viewId } = { viewId: null }] = responses
    for (const response of responses) expect(response).toMatchObject({ status: 200, viewId, body: { userviews: 1 } })
    await expectCounted(1)
  })

  test('of different assets are refused by an edge that recognizes the key; otherwise, only the first in the log is counted', async () => {
    await play('k')
    const refused = { status: 422, viewId: null, body: { status: 'Idempotency key reused' } }
    // Repeat if the machine paused, because upstreams may then respond too late, which causes a 503.
    const expectRefused = (edge: { url: string }) =>
      repeatAfterPause(async () => expect(await play('k', edge, '123')).toMatchObject(refused))
    await expectRefused(system.play)
    await expectCounted(1)
    await expectRefused(otherEdge)
    const before = await rejected()
    await system.nats.signal('SIGKILL')
    for (const [edge, assetId] of [
      [system.play, '456'],
      [otherEdge, '123'],
    ] as const) {
      expect(await play('unknown', edge, assetId)).toMatchObject({ status: 200 })
    }
    await system.nats.start()
    await warmUp(system.play.url)
    await expectCounted(2)
    expect(await rejected()).toBe(before + 1)
  })

  test('are counted in the metrics by outcome', async () => {
    const plays = (outcome: string) =>
      metric(system.play.url, new RegExp(`^idempotent_plays_total{outcome="${outcome}"}`))
    const outcomes = ['recorded', 'retried', 'reused']
    const before = await Promise.all(outcomes.map(plays))
    for (const assetId of ['456', '456', '123']) await play('k', system.play, assetId)
    expect(await Promise.all(outcomes.map(plays))).toEqual(before.map((count) => count + 1))
  })

  test.each([
    ['Idempotency-Key: k'],
    ['Idempotency-Key: "a'],
    ['Idempotency-Key:'],
    ['Idempotency-Key: ""'],
    [`Idempotency-Key: "${'x'.repeat(256)}"`],
    ['Idempotency-Key: "a\tb"'],
    ['Idempotency-Key: "a"', 'Idempotency-Key: "a"'],
    ['Idempotency-Key: "a', 'Idempotency-Key: b"'],
  ])('are refused with 400 and not recorded if the header is malformed: %j %j', async (...headers) => {
    const before = await metric(system.play.url, /^recorded_views_total/)
    const lines = [`POST /play/asset/456/user/${user} HTTP/1.1`, 'Host: localhost', ...headers, '', '']
    using connection = await connectHttp(system.play.url, lines.join('\r\n'))
    const { status, body } = await connection.response()
    expect(status).toBe(400)
    expect(JSON.parse(body)).toMatchObject({ errors: [{ path: 'Idempotency-Key' }] })
    expect(await metric(system.play.url, /^recorded_views_total/)).toBe(before)
  })

  async function rejected(): Promise<number> {
    return Audit.parse(await getJson(`${system.reporting.url}/events/audit`)).rejected
  }

  async function restart(service: ServiceProcess): Promise<void> {
    await service.signal('SIGKILL')
    await service.start()
  }
})
