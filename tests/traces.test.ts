import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toOrigin } from '../shared/runtime/origin.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from './harness/otlp-receiver.ts'
import { play, views } from './harness/plays.ts'
import { freePortRange } from './harness/ports.ts'
import { type ServiceProcess, startProgram, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

/** Says on standard output what of OpenTelemetry a process loads. */
const tellLoaded = `--import data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module'
  registerHooks({ load(url, context, load) {
    if (url.includes('@opentelemetry')) console.log('loaded ' + url)
    return load(url, context)
  } })
`)}`

const services = ['play', 'metadata', 'cdnurl', 'reporting', 'listener'] as const

describe.skipIf(!natsVersion)('with a receiver of spans', { timeout: 30_000 }, () => {
  let receiver: OtlpReceiver
  let system: System
  beforeAll(async () => {
    receiver = await startOtlpReceiver()
    system = await startSystem({ OTEL_EXPORTER_OTLP_ENDPOINT: `${receiver.url}/`, CATALOGUE_TTL: '1ms' })
    await eventually(async () => expect(await play(system.play.url, '456', 'first')).toMatchObject({ status: 200 }))
  }, 30_000)
  afterAll(async () => {
    await system?.[Symbol.asyncDispose]()
    await receiver?.[Symbol.asyncDispose]()
  })

  const traceOf = (traceId: string) => receiver.spans.filter((span) => span.traceId === traceId)

  test('a play, its upstream calls and the later count are one trace', async () => {
    const traceId = 'a'.repeat(32)
    await playIn(system.play, { traceparent: `00-${traceId}-${'b'.repeat(16)}-01`, tracestate: 'vendor=opaque' })
    const spans = await eventually(() => {
      const found = traceOf(traceId)
      expect(found.map(describeSpan).toSorted()).toEqual([
        'cdnurl: GET /url/asset/:assetId (server)',
        'metadata: GET /content/asset/:assetId (server)',
        'play: GET cdnurl (client)',
        'play: GET metadata (client)',
        'play: POST /play/asset/:assetId/user/:userId (server)',
        'play: POST reporting (client)',
        'play: look up counts (internal)',
        'play: send video.viewed (producer)',
        'queue-listener: POST reporting (client)',
        'queue-listener: process video.viewed (consumer)',
        'reporting: POST /events (server)',
        'reporting: POST /events/lookup (server)',
      ])
      return found
    })
    const ways = spans.map((span) => wayTo(span, spans))
    expect(ways).toContainEqual(['bbbbbbbbbbbbbbbb', 'play', 'play', 'metadata'])
    expect(ways).toContainEqual(['bbbbbbbbbbbbbbbb', 'play', 'play', 'cdnurl'])
    expect(ways).toContainEqual(['bbbbbbbbbbbbbbbb', 'play', 'play', 'play', 'reporting'])
    expect(ways).toContainEqual(['bbbbbbbbbbbbbbbb', 'play', 'play', 'queue-listener', 'queue-listener', 'reporting'])
    for (const span of spans) {
      expect(span.traceState).toBe('vendor=opaque')
      expect(BigInt(span.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano))
    }
    expect(spans.find(({ kind, resource }) => kind === 2 && resource['service.name'] === 'play')?.attributes).toEqual({
      'http.request.method': 'POST',
      'http.route': '/play/asset/:assetId/user/:userId',
      'url.path': '/play/asset/456/user/traced',
      'http.response.status_code': 200,
    })
    expect(receiver.problems).toEqual([])
  })

  test('a play that comes without a trace begins one', async () => {
    const before = new Set(receiver.spans.map(({ traceId }) => traceId))
    await playIn(system.play)
    await eventually(() => {
      const roots = receiver.spans.filter(
        ({ traceId, parentSpanId, name }) => !before.has(traceId) && !parentSpanId && name.startsWith('POST /play'),
      )
      expect(roots).toHaveLength(1)
      expect(new Set(traceOf(String(roots[0]?.traceId)).map(({ resource }) => resource['service.name']))).toEqual(
        new Set(['play', 'metadata', 'cdnurl', 'reporting', 'queue-listener']),
      )
    })
  })

  test('a play whose caller does not record it is not recorded', async () => {
    const traceId = 'c'.repeat(32)
    await playIn(system.play, { traceparent: `00-${traceId}-${'b'.repeat(16)}-00` })
    await playIn(system.play, { traceparent: `00-${'d'.repeat(32)}-${'b'.repeat(16)}-01` })
    await eventually(() => expect(traceOf('d'.repeat(32)).length).toBeGreaterThan(0))
    expect(traceOf(traceId)).toEqual([])
  })

  test('plays that share a look-up each have a trace, and that of the look-up names them', async () => {
    const ids = Array.from({ length: 8 }, (_, n) => String(n + 1).repeat(32))
    await Promise.all(ids.map((id) => playIn(system.play, { traceparent: `00-${id}-${'b'.repeat(16)}-01` })))
    await eventually(() => {
      for (const id of ids) expect(traceOf(id).map(({ name }) => name)).toContain('process video.viewed')
      const lookUps = receiver.spans.filter(
        ({ name, traceId, resource }) =>
          name === 'POST reporting' && resource['service.name'] === 'play' && ids.includes(traceId),
      )
      const named = lookUps.flatMap(({ traceId, links }) => [traceId, ...links.map((link) => link.traceId)])
      expect(named.toSorted()).toEqual(ids)
      expect(lookUps.length).toBeLessThan(ids.length)
    })
  })

  test('a call that fails says so', async () => {
    const traceId = 'e'.repeat(32)
    await system.reporting.signal('SIGKILL')
    await playIn(system.play, { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` })
    await system.reporting.start()
    await eventually(() => {
      const lookUp = traceOf(traceId).find(({ name }) => name === 'look up counts')
      expect(lookUp?.status.code).toBe(2)
      expect(lookUp?.attributes['error.type']).toBe('UpstreamError')
    })
  })

  test('nobody who only asks how things are begins a trace', async () => {
    await Promise.all(services.map((name) => fetch(`${system[name].url}/healthz`)))
    await Promise.all(services.map((name) => fetch(`${system[name].url}/readyz`)))
    await Promise.all(services.map((name) => fetch(`${system[name].url}/metrics`)))
    await playIn(system.play, { traceparent: `00-${'f'.repeat(32)}-${'b'.repeat(16)}-01` })
    await eventually(() => expect(traceOf('f'.repeat(32)).length).toBeGreaterThan(0))
    const names = new Set(receiver.spans.map(({ name }) => name))
    for (const path of ['/healthz', '/readyz', '/metrics', '/events/position']) {
      expect(names).not.toContain(`GET ${path}`)
    }
  })

  test('the last spans are sent before a process ends', async () => {
    const traceId = '9'.repeat(31).concat('a')
    await playIn(system.play, { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` })
    await system.play.signal('SIGTERM')
    expect(traceOf(traceId).map(describeSpan)).toContain('play: POST /play/asset/:assetId/user/:userId (server)')
    await system.play.start()
  })
})

describe.skipIf(!natsVersion)('with a receiver that is away', { timeout: 30_000 }, () => {
  test('plays are answered and counted, and the end waits no longer than a few seconds', async () => {
    await using system = await startSystem({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' })
    await eventually(async () => expect((await play(system.play.url, '456', 'u')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'u')).toBeGreaterThan(0))
    const asked = performance.now()
    await system.play.signal('SIGTERM')
    expect(await system.play.ended()).toBe(0)
    expect(performance.now() - asked).toBeLessThan(5_000)
  })
})

test('with a receiver that hangs the embedded mode ends in time', { timeout: 30_000 }, async () => {
  await using receiver = await startHangingServer()
  const port = await freePortRange()
  const settings = { DATA_DIR: await mkdtemp(join(tmpdir(), 'hanging-')), OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url }
  await using embedded = await startProgram('embedded', 'embedded/main.ts', settings, port)
  await eventually(async () => expect((await play(toOrigin('127.0.0.1', port), '456', 'u')).status).toBe(200))
  await eventually(() => expect(receiver.connections()).toBeGreaterThan(0))
  const asked = performance.now()
  await embedded.signal('SIGTERM')
  expect(await embedded.ended()).toBe(0)
  expect(performance.now() - asked).toBeLessThan(6_000)
  await rm(settings.DATA_DIR, { recursive: true })
})

describe.skipIf(!natsVersion)('without a receiver of spans', { timeout: 30_000 }, () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ LOG_LEVEL: 'debug', NODE_OPTIONS: tellLoaded, CATALOGUE_TTL: '1ms' })
    await eventually(async () => expect(await play(system.play.url, '456', 'first')).toMatchObject({ status: 200 }))
  }, 30_000)
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('the trace of a play is passed on as it came, and is in the logs of all who work for it', async () => {
    const traceId = 'a'.repeat(32)
    await playIn(system.play, { traceparent: `00-${traceId}-${'b'.repeat(16)}-00` })
    await eventually(() => {
      for (const name of ['play', 'metadata', 'cdnurl', 'reporting'] as const) {
        expect(system[name].lines().join('\n')).toContain(`"trace_id":"${traceId}"`)
      }
    })
  })

  test('it is in the log of views, by the distributed tracing extension', async () => {
    const context = { traceparent: `00-${'c'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'vendor=opaque' }
    const stored = system.nats.use(async (connection) => {
      const views = connection.subscribe('events.view.*', { max: 1 })
      await connection.flush()
      await playIn(system.play, context)
      for await (const message of views) return message.json()
    })
    expect(await stored).toEqual([expect.objectContaining(context)])
  })

  test('a play that comes without a trace, or with a bad one, gets one', async () => {
    for (const headers of [{}, { traceparent: `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'vendor=1' }]) {
      const stored = system.nats.use(async (connection) => {
        const views = connection.subscribe('events.view.*', { max: 1 })
        await connection.flush()
        await playIn(system.play, headers)
        for await (const message of views) return message.json()
      })
      const [event] = (await stored) as Record<string, unknown>[]
      expect(event?.traceparent).toMatch(/^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-00$/)
      expect(event).not.toHaveProperty('tracestate')
    }
  })

  test.each([
    ['a long tracestate', { tracestate: 'a'.repeat(15_000) }],
    ['one that is no ASCII', { tracestate: 'vendor=\u00e9' }],
  ])('a play with %s is counted as every other', async (name, headers) => {
    const user = `with-${name.length}`
    const traceparent = `00-${'c'.repeat(32)}-${'b'.repeat(16)}-01`
    const url = `${system.play.url}/play/asset/456/user/${user}`
    expect((await fetch(url, { method: 'POST', headers: { traceparent, ...headers } })).status).toBe(200)
    await eventually(async () => expect(await views(system.reporting.url, 'user', user)).toBe(1))
  })

  test('an event of another producer is counted, whatever it says of its trace', async () => {
    const event = {
      specversion: '1.0',
      source: '/other',
      type: 'video.viewed',
      data: { assetId: '456', userId: 'other' },
    }
    const traceparent = `00-${'c'.repeat(32)}-${'b'.repeat(16)}-01`
    const events = [
      { ...event, id: '1', traceparent, tracestate: 'vendor=1\r\nx: y' },
      { ...event, id: '2', traceparent, tracestate: 'a'.repeat(20_000) },
      { ...event, id: '3', traceparent: 7, tracestate: {} },
    ]
    await system.nats.use((connection) => connection.jetstream().publish('events.view.other', JSON.stringify(events)))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'other')).toBe(3))
  })

  test('OpenTelemetry is not loaded', async () => {
    for (const name of services) expect(loadedBy(system[name])).toEqual([])
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', NODE_OPTIONS: tellLoaded }
    await using traced = await startService('metadata', endpoint)
    expect(loadedBy(traced)).not.toEqual([])
  })
})

/** Takes connections and never answers. */
async function startHangingServer(): Promise<AsyncDisposable & { url: string; connections: () => number }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: toOrigin('127.0.0.1', (server.address() as AddressInfo).port),
    connections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

const kinds = ['', 'internal', 'server', 'client', 'producer', 'consumer']

function describeSpan({ name, kind, resource }: ReceivedSpan): string {
  return `${resource['service.name']}: ${name} (${kinds[kind]})`
}

/** The services of the spans from the first down to this one, after the id of the first one's parent. */
function wayTo(span: ReceivedSpan, all: ReceivedSpan[]): unknown[] {
  const parent = all.find(({ spanId }) => spanId === span.parentSpanId)
  return [...(parent ? wayTo(parent, all) : [span.parentSpanId]), span.resource['service.name']]
}

async function playIn({ url }: ServiceProcess, headers: Record<string, string> = {}): Promise<void> {
  const response = await fetch(`${url}/play/asset/456/user/traced`, { method: 'POST', headers })
  expect(response.status).toBe(200)
  await response.body?.cancel()
}

/** prom-client loads the interface, which does nothing by itself. */
function loadedBy(service: ServiceProcess): string[] {
  return service.lines().filter((line) => /^loaded .*@opentelemetry\/(?!api\/)/.test(line))
}
