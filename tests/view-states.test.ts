import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { explain, playAs } from './harness/keyed-plays.ts'
import { natsVersion } from './harness/nats-server.ts'
import { metric, warmUp } from './harness/plays.ts'
import { insertRaw, publishRaw } from './harness/raw-messages.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

const pending = { verdict: null, reason: null, rule: null, because: null, assetId: '456' }

describe.skipIf(!natsVersion)("a view's state", () => {
  let system: System
  let otherEdge: ServiceProcess
  /** An edge that shares the first edge's DATA_DIR. */
  let neighbor: ServiceProcess
  let userId = ''
  const stack = new AsyncDisposableStack()
  beforeAll(async () => {
    system = stack.use(await startSystem())
    const { env, dataDir } = system
    otherEdge = stack.use(await startService('play', env))
    neighbor = stack.use(await startService('play', { ...env, DATA_DIR: dataDir }))
    await Promise.all([system.play, otherEdge, neighbor].map(({ url }) => warmUp(url)))
  })
  beforeEach(() => {
    userId = randomUUID()
  })
  afterAll(() => stack.disposeAsync())

  async function play({ url }: { url: string } = system.play) {
    const { status, viewId } = await playAs(url, userId, {})
    expect(status).toBe(200)
    return viewId ?? ''
  }

  const expectState = (viewId: string, expected: object, edges = [system.play, otherEdge, neighbor]) =>
    eventually(async () => {
      for (const { url } of edges) {
        expect(await explain(url, viewId)).toMatchObject({ status: 200, body: { id: viewId, ...expected } })
      }
    })

  test('is never "not found" after a 200, and eventually becomes "counted"', async () => {
    const states = new Set<unknown>()
    for (let plays = 0; plays < 20; plays += 1) {
      const viewId = await play(plays % 2 === 0 ? system.play : neighbor)
      for (const edge of [otherEdge, system.play]) {
        const { status, body } = await explain(edge.url, viewId)
        expect([200, 503]).toContain(status)
        states.add(body.state ?? status)
      }
      await expectState(viewId, { state: 'counted', userId, assetId: '456', rule: 'v1' })
    }
    expect(states).toContain('counted')
  })

  test('is "counted" for a repeated play too, and names the view that decided the verdict', async () => {
    const [first, second] = [await play(), await play()]
    await expectState(first, { state: 'counted', verdict: 'qualified', because: null })
    await expectState(second, { state: 'counted', verdict: 'not-qualified', reason: 'repeat', because: { id: first } })
  })

  test('is "outbox" while NATS is down, whichever process with the same DATA_DIR recorded it', async () => {
    await system.nats.signal('SIGKILL')
    const ids = [await play(), await play(neighbor)]
    for (const id of ids) {
      await expectState(id, { ...pending, state: 'outbox', userId, position: null }, [system.play, neighbor])
      expect(await explain(otherEdge.url, id)).toMatchObject({ status: 503 })
    }
    await system.play.signal('SIGKILL')
    await system.play.start()
    for (const id of ids) await expectState(id, { ...pending, state: 'outbox' }, [system.play, neighbor])
    await system.nats.start()
    for (const id of ids) await expectState(id, { state: 'counted', userId })
  })

  test('is "outbox" even if the process that recorded it has exited', async () => {
    await system.nats.signal('SIGKILL')
    const viewId = await play(neighbor)
    await neighbor.signal('SIGKILL')
    await expectState(viewId, { ...pending, state: 'outbox' }, [system.play])
    await system.nats.start()
    await expectState(viewId, { state: 'counted' }, [system.play])
    await neighbor.start()
    await warmUp(neighbor.url)
  })

  test('is "log", with its position, while queue-listener is down, even after a restart of the edge', async () => {
    await system.listener.signal('SIGKILL')
    const viewId = await play()
    const position = { stream: expect.any(String), sequence: expect.any(Number) }
    await expectState(viewId, { ...pending, state: 'log', userId, position })
    await system.play.signal('SIGKILL')
    await system.play.start()
    await expectState(viewId, { ...pending, state: 'log', userId, position })
    await expectNotFound()
    await system.listener.start()
    await expectState(viewId, { state: 'counted', position })
  })

  test('is "log" while reporting is down, and a lookup of an unknown id gets a 503', async () => {
    await system.reporting.signal('SIGKILL')
    const viewId = await play()
    await expectState(viewId, { ...pending, state: 'log', userId })
    for (const { url } of [system.play, otherEdge]) {
      const { status, body } = await explain(url, randomUUID())
      expect([status, body.status]).toEqual([503, 'Service unavailable'])
    }
    await system.reporting.start()
    await expectState(viewId, { state: 'counted' })
  })

  test('is "rejected" for an event that becomes a dead letter, before and after reporting records it', async () => {
    const [first, second] = [randomUUID(), randomUUID()]
    await publishRaw(system.nats, [toInvalidEvent(first)])
    await expectState(first, { state: 'rejected', reason: 'dead-letter', verdict: null })
    await system.listener.signal('SIGKILL')
    await publishRaw(system.nats, [toInvalidEvent(second)])
    await expectState(second, { state: 'rejected', reason: 'dead-letter', verdict: null, assetId: null })
    await system.listener.start()
    await expectState(second, { state: 'rejected', reason: 'dead-letter', verdict: null })
  })

  test('is the same for all retries of a play', async () => {
    const retries = [system.play, otherEdge, system.play].map(({ url }) => playAs(url, userId, { key: 'k' }))
    const ids = new Set((await Promise.all(retries)).map(({ viewId }) => viewId))
    expect(ids.size).toBe(1)
    for (const id of ids) await expectState(id ?? '', { state: 'counted', verdict: 'qualified' })
  })

  test('is "not found", with the position of the counts, for an id that no event has', async () => {
    await expectNotFound()
  })

  test('can be looked up under high load', async () => {
    const ids = await Promise.all(Array.from({ length: 200 }, () => play()))
    const explained = await Promise.all(ids.slice(0, 20).map((id) => explain(system.play.url, id)))
    for (const { status } of explained) expect([200, 503]).toContain(status)
    for (const id of ids.slice(0, 20)) await expectState(id, { state: 'counted' }, [system.play])
    await eventually(async () => expect(await metric(system.play.url, /^outbox_waiting_views /)).toBe(0))
  })

  function expectNotFound(): Promise<void> {
    return eventually(async () => {
      for (const { url } of [system.play, otherEdge, neighbor]) {
        expect(await explain(url, randomUUID())).toMatchObject({
          status: 404,
          body: { status: 'View not found', position: { sequence: expect.any(Number) } },
        })
      }
    })
  }
})

describe("a view's state in embedded mode", () => {
  let system: Services
  const rejected = randomUUID()
  beforeAll(async () => {
    system = await startEmbedded({}, (dataDir) => insertRaw(dataDir, [toInvalidEvent(rejected)]))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('is "counted", "rejected" or "not found"', async () => {
    const { viewId } = await playAs(system.play.url, '8', {})
    await eventually(async () => {
      expect(await explain(system.play.url, viewId)).toMatchObject({ status: 200, body: { state: 'counted' } })
      expect(await explain(system.play.url, rejected)).toMatchObject({ status: 200, body: { state: 'rejected' } })
    })
    expect(await explain(system.play.url, randomUUID())).toMatchObject({ status: 404 })
  })
})

/** An event of the wrong type. */
function toInvalidEvent(id: string): string {
  return JSON.stringify({ specversion: '1.0', id, source: '/tv', type: 'radio.heard' })
}
