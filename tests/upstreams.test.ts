import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postAsset } from './harness/assets.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views, warmUp } from './harness/plays.ts'
import { repeatAfterPause, runningTime } from './harness/running-time.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { startSocketServer } from './harness/socket-server.ts'
import { type System, startSystem } from './harness/system.ts'

/** The ways in which an upstream can misbehave. */
const faults: [name: string, handle: (socket: Socket) => void][] = [
  ['accepts connections and never responds', () => {}],
  ['responds slowly, byte by byte', (socket) => void dribble(socket, toResponse('{"assets":{},"users":{}}'))],
  ['responds with garbage', (socket) => socket.once('data', () => socket.end('SSH-2.0-OpenSSH_9.9\r\n'))],
  [
    'responds with JSON that violates the contract',
    (socket) => socket.on('data', () => socket.write(toResponse('{"views":"many"}'))),
  ],
  [
    'closes connections in the middle of a response',
    (socket) => socket.once('data', () => socket.end(toResponse('{"assets":{}}').slice(0, -5))),
  ],
]

describe.skipIf(!natsVersion)('with failing upstreams,', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ CATALOGUE_TTL: '50ms' })
    await warmUp(system.play.url)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  describe('if reporting', () => {
    const { edgeWith } = startFaultyEdges('REPORTING_URL')

    test.concurrent.each(faults)('%s, plays get a 200 in time, without counts, and are counted', async (fault) => {
      const { edge, user } = edgeWith(fault)
      await warmUp(edge.url, ['reporting'])
      for (let count = 0; count < 5; count += 1) {
        const { ms, body } = await timed(edge, '456', user)
        expect(body).toMatchObject({ title: 'Terminator', userviews: null, assetviews: null, degraded: ['reporting'] })
        expect(ms).toBeLessThan(1_000)
      }
      await eventually(async () => expect(await views(system.reporting.url, 'user', user)).toBe(5))
    })
  })

  describe('if metadata', () => {
    const { edgeWith } = startFaultyEdges('METADATA_URL')

    test.concurrent.each(faults)(
      '%s, plays of an uncached asset get a 503 in time, and are not counted',
      async (fault) => {
        const { edge, user } = edgeWith(fault)
        for (let count = 0; count < 3; count += 1) {
          const startedAt = runningTime()
          expect((await play(edge.url, '456', user)).status).toBe(503)
          expect(runningTime() - startedAt).toBeLessThan(1_000)
        }
        await play(system.play.url, '456', `${user}-after`)
        await eventually(async () => expect(await views(system.reporting.url, 'user', `${user}-after`)).toBe(1))
        expect(await views(system.reporting.url, 'user', user)).toBe(0)
      },
    )
  })

  /** Starts an edge for each fault of the upstream in `urlSetting`, before the suite's tests. */
  function startFaultyEdges(urlSetting: string) {
    const stack = new AsyncDisposableStack()
    const edges = new Map<string, ServiceProcess>()
    beforeAll(async () => {
      const starts = faults.map(async ([fault, handle]) => {
        const upstream = stack.use(await startSocketServer(handle))
        edges.set(fault, stack.use(await startService('play', { ...system.env, [urlSetting]: upstream.url })))
      })
      await Promise.all(starts)
    })
    afterAll(() => stack.disposeAsync())
    return {
      /** Returns an edge whose upstream has this fault, and a user id that no other edge uses. */
      edgeWith(fault: string): { edge: ServiceProcess; user: string } {
        const edge = edges.get(fault)
        if (!edge) throw new Error(`no edge has an upstream that ${fault}`)
        return { edge, user: `user-${new URL(edge.url).port}` }
      },
    }
  }

  test('plays are fast while reporting hangs and its circuit is open, and the circuit closes once reporting resumes', async () => {
    await system.reporting.signal('SIGSTOP')
    await eventually(async () => {
      await timed(system.play, '456', 'quick')
      expect(await circuit(system.play, 'reporting')).not.toBe('closed')
    })
    expect(await metric(system.play.url, /^circuit_breaker_state\{upstream="reporting",state="closed"\}/)).toBe(0)
    const times: number[] = []
    for (let count = 0; count < 200; count += 1) {
      times.push((await timed(system.play, '456', 'quick')).ms)
      await sleep(5)
    }
    expect(times.toSorted((a, b) => a - b)[197]).toBeLessThan(300)
    await system.reporting.start()
    await eventually(async () => {
      expect((await timed(system.play, '456', 'quick')).body).not.toHaveProperty('degraded')
      expect(await circuit(system.play, 'reporting')).toBe('closed')
    })
  })

  describe.each(['metadata', 'cdnurl'] as const)('if %s', (name) => {
    test.each(['SIGSTOP', 'SIGKILL'] as const)(
      'gets a %s, plays of cached assets succeed, and plays of uncached assets get a 503',
      async (signal) => {
        const uncached = `uncached-${name}-${signal}`
        await postAsset(system, { id: uncached, title: 'Uncached', url: 'path/to/uncached.mp4' })
        await warmUp(system.play.url)
        await system[name].signal(signal)
        await eventually(async () => {
          const { ms, body } = await timed(system.play, '456', 'reader')
          expect(body).toMatchObject({ title: 'Terminator', url: 'path/to/asset456.mp4', degraded: [name] })
          expect(ms).toBeLessThan(1_000)
        })
        // If either metadata or cdnurl returns a 404, the play gets a 404 even while the other service is down.
        expect((await play(system.play.url, 'unknown', 'reader')).status).toBe(404)
        const response = await fetch(`${system.play.url}/play/asset/${uncached}/user/reader`, { method: 'POST' })
        expect(response.status).toBe(503)
        expect(response.headers.get('retry-after')).toBe('1')
        const requestId = response.headers.get('x-request-id')
        expect(await response.json()).toEqual({ status: 'Service unavailable', requestId })
        await system[name].start()
      },
    )
  })

  test('one of two configured instances can be killed without degrading any play', async () => {
    await using second = await startService('metadata', system.env)
    const METADATA_URL = `${system.metadata.url},${second.url}`
    await using edge = await startService('play', { ...system.env, METADATA_URL, CATALOGUE_TTL: '1ms' })
    await eventually(async () => expect((await play(edge.url, '456', 'spread')).status).toBe(200))
    const requests = () =>
      metric(second.url, /^http_server_request_duration_seconds_count\{.*\/content\/asset\/:assetId/)
    await eventually(async () => {
      await play(edge.url, '456', 'spread')
      expect(await requests()).toBeGreaterThan(5)
    })
    await second.signal('SIGKILL')
    await repeatAfterPause(async () => {
      for (let count = 0; count < 50; count += 1) {
        expect((await timed(edge, '456', 'spread')).body).not.toHaveProperty('degraded')
      }
    })
  })

  test('a reporting instance whose explanations time out still receives count lookups', async () => {
    let [unanswered, lookups] = [0, 0]
    await using proxy = await startSocketServer((socket) => {
      const upstream = connect(Number(new URL(system.reporting.url).port), '127.0.0.1')
      upstream.on('error', () => socket.destroy()).pipe(socket)
      socket.on('close', () => upstream.destroy())
      socket.on('data', (request) => {
        if (request.toString().startsWith('GET /events/views/')) unanswered += 1
        else upstream.write(request)
        if (request.toString().startsWith('POST /events/lookup')) lookups += 1
      })
    })
    const REPORTING_URL = `${system.reporting.url},${proxy.url}`
    await using edge = await startService('play', { ...system.env, REPORTING_URL })
    await warmUp(edge.url)
    await eventually(async () => {
      await fetch(`${edge.url}/views/unknown`)
      expect(unanswered).toBeGreaterThan(0)
    })
    const before = lookups
    for (let count = 0; count < 30; count += 1) await timed(edge, '456', 'spread')
    expect(lookups).toBeGreaterThan(before)
  })

  test('while NATS is down and the outbox is not writable, a play gets a 503 and is not counted', async () => {
    await using edge = await startService('play', { ...system.env, DATA_DIR: '/dev/null/outbox' })
    await eventually(async () => expect((await play(edge.url, '456', 'lost')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'lost')).toBeGreaterThan(0))
    const before = await views(system.reporting.url, 'user', 'lost')
    await system.nats.signal('SIGKILL')
    const response = await fetch(`${edge.url}/play/asset/456/user/lost`, { method: 'POST' })
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('1')
    expect(edge.lines().join('\n')).toContain('outbox unavailable')
    expect((await fetch(`${edge.url}/readyz`)).status).toBe(503)
    await system.nats.start()
    await eventually(async () => expect((await play(edge.url, '456', 'found')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'found')).toBeGreaterThan(0))
    expect(await views(system.reporting.url, 'user', 'lost')).toBe(before)
  })
})

/** Plays an asset, and expects success. */
async function timed(edge: ServiceProcess, assetId: string, userId: string) {
  const startedAt = runningTime()
  const { status, body } = await play(edge.url, assetId, userId)
  expect(status).toBe(200)
  return { ms: runningTime() - startedAt, body }
}

async function circuit({ url }: ServiceProcess, upstream: string): Promise<string | undefined> {
  const { circuits } = (await getJson(`${url}/readyz`)) as { circuits: Record<string, string> }
  return circuits[upstream]
}

function toResponse(body: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

async function dribble(socket: Socket, text: string): Promise<void> {
  for (const byte of text) {
    if (socket.destroyed) return
    socket.write(byte)
    await sleep(100)
  }
}
