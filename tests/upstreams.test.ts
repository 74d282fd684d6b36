import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

/** What a sick neighbour does with a connection. */
const sicknesses: [name: string, treat: (socket: Socket) => void][] = [
  ['accepts and never answers', () => {}],
  ['answers slowly, byte by byte', (socket) => void dribble(socket, answerOf('{"assets":{},"users":{}}'))],
  ['answers garbage', (socket) => socket.once('data', () => socket.end('SSH-2.0-OpenSSH_9.9\r\n'))],
  [
    'answers with JSON that was not agreed',
    (socket) => socket.on('data', () => socket.write(answerOf('{"views":"many"}'))),
  ],
  [
    'closes in the middle of its answer',
    (socket) => socket.once('data', () => socket.end(answerOf('{"assets":{}}').slice(0, -5))),
  ],
]

describe.skipIf(!natsVersion)('sick neighbours', { timeout: 60_000 }, () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ CATALOGUE_TTL: '50ms' })
    await eventually(async () => expect((await play(system.play.url, '456', 'warm')).status).toBe(200))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  describe.each(sicknesses)('reporting %s', (_, treat) => {
    test('a play is answered in time without counts, and counts', async () => {
      await using neighbour = await startNeighbour(treat)
      await using edge = await startService('play', { ...system.env, REPORTING_URL: neighbour.url })
      await eventually(async () => expect((await play(edge.url, '456', 'warm')).status).toBe(200))
      const user = edge.url.replace(/\D+/g, '-')
      for (let count = 0; count < 5; count += 1) {
        const { ms, body } = await timed(edge, '456', `u${user}`)
        expect(body).toMatchObject({ title: 'Terminator', userviews: null, assetviews: null, degraded: ['reporting'] })
        expect(ms).toBeLessThan(1_000)
      }
      await eventually(async () => expect(await views(system.reporting.url, 'user', `u${user}`)).toBe(5))
    })
  })

  describe.each(sicknesses)('metadata %s', (_, treat) => {
    test('a play of what was never read is refused in time, and does not count', async () => {
      await using neighbour = await startNeighbour(treat)
      await using edge = await startService('play', { ...system.env, METADATA_URL: neighbour.url })
      const user = `refused${edge.url.replace(/\D+/g, '-')}`
      for (let count = 0; count < 3; count += 1) {
        const started = performance.now()
        expect((await play(edge.url, '456', user)).status).toBe(503)
        expect(performance.now() - started).toBeLessThan(1_000)
      }
      await play(system.play.url, '456', `${user}-after`)
      await eventually(async () => expect(await views(system.reporting.url, 'user', `${user}-after`)).toBe(1))
      expect(await views(system.reporting.url, 'user', user)).toBe(0)
    })
  })

  test('once the circuit of a hanging reporting is open, plays are quick, and it closes when reporting goes on', async () => {
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

  describe.each(['metadata', 'cdnurl'] as const)('%s', (name) => {
    test.each(['SIGSTOP', 'SIGKILL'] as const)(
      'after %s plays go on with what was last read; what never was read is a 503',
      async (signal) => {
        await eventually(async () =>
          expect((await play(system.play.url, '456', 'reader')).body).not.toHaveProperty('degraded'),
        )
        await system[name].signal(signal)
        await eventually(async () => {
          const { ms, body } = await timed(system.play, '456', 'reader')
          expect(body).toMatchObject({ title: 'Terminator', url: 'path/to/asset456.mp4', degraded: [name] })
          expect(ms).toBeLessThan(1_000)
        })
        const unread = await fetch(`${system.play.url}/play/asset/never-read/user/reader`, { method: 'POST' })
        // The other service may be asked, and knows of no such asset: that settles it.
        expect(unread.status).toBe(404)
        await using fresh = await startService('play', system.env)
        const answer = await fetch(`${fresh.url}/play/asset/456/user/reader`, { method: 'POST' })
        expect(answer.status).toBe(503)
        expect(answer.headers.get('retry-after')).toBe('1')
        expect(await answer.json()).toEqual({ status: 'Service unavailable', requestId: expect.any(String) })
        await system[name].start()
      },
    )
  })

  test('of two instances named by a setting one may be killed, and no play is the worse for it', async () => {
    await using second = await startService('metadata', system.env)
    const METADATA_URL = `${system.metadata.url},${second.url}`
    await using edge = await startService('play', { ...system.env, METADATA_URL, CATALOGUE_TTL: '1ms' })
    await eventually(async () => expect((await play(edge.url, '456', 'spread')).status).toBe(200))
    const asked = () => metric(second.url, /^http_server_request_duration_seconds_count\{.*\/content\/asset\/:assetId/)
    await eventually(async () => {
      await play(edge.url, '456', 'spread')
      expect(await asked()).toBeGreaterThan(5)
    })
    await second.signal('SIGKILL')
    for (let count = 0; count < 50; count += 1) {
      expect((await timed(edge, '456', 'spread')).body).not.toHaveProperty('degraded')
    }
  })

  test('with NATS and the disk of the outbox both away a play is a 503 that counts nothing', async () => {
    await using edge = await startService('play', { ...system.env, DATA_DIR: '/dev/null/outbox' })
    await eventually(async () => expect((await play(edge.url, '456', 'lost')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'lost')).toBeGreaterThan(0))
    const before = await views(system.reporting.url, 'user', 'lost')
    await system.nats.signal('SIGKILL')
    const answer = await fetch(`${edge.url}/play/asset/456/user/lost`, { method: 'POST' })
    expect(answer.status).toBe(503)
    expect(answer.headers.get('retry-after')).toBe('1')
    expect(edge.lines().join('\n')).toContain('the outbox fails')
    expect((await fetch(`${edge.url}/readyz`)).status).toBe(503)
    await system.nats.start()
    await eventually(async () => expect((await play(edge.url, '456', 'found')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'found')).toBeGreaterThan(0))
    expect(await views(system.reporting.url, 'user', 'lost')).toBe(before)
  })
})

async function timed(edge: ServiceProcess, assetId: string, userId: string) {
  const started = performance.now()
  const { status, body } = await play(edge.url, assetId, userId)
  expect(status).toBe(200)
  return { ms: performance.now() - started, body }
}

async function circuit({ url }: ServiceProcess, upstream: string): Promise<string | undefined> {
  const { circuits } = (await getJson(`${url}/readyz`)) as { circuits: Record<string, string> }
  return circuits[upstream]
}

/** A server that treats every connection as it is told to. */
async function startNeighbour(treat: (socket: Socket) => void): Promise<AsyncDisposable & { url: string }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.resume()
    treat(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

function answerOf(body: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

async function dribble(socket: Socket, text: string): Promise<void> {
  for (const byte of text) {
    if (socket.destroyed) return
    socket.write(byte)
    await sleep(100)
  }
}
