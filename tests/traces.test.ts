import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SystemTrace, type TraceSpan } from '../shared/contracts/trace.ts'
import { inAPlay, mapServices, serviceNames } from './harness/each-service.ts'
import { startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion, pathWithNats } from './harness/nats-server.ts'
import { npmStart } from './harness/npm-start.ts'
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from './harness/otlp-receiver.ts'
import { getJson, play, views } from './harness/plays.ts'
import { runningTime } from './harness/running-time.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { startSocketServer } from './harness/socket-server.ts'
import { type System, startSystem } from './harness/system.ts'

/** NODE_OPTIONS that log which OpenTelemetry modules a process loads. */
const logLoadedModules = `--import data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module'
  registerHooks({ load(url, context, load) {
    if (url.includes('@opentelemetry')) console.log('loaded ' + url)
    return load(url, context)
  } })
`)}`

describe.skipIf(!natsVersion)('with a collector,', () => {
  let receiver: OtlpReceiver
  let system: System
  beforeAll(async () => {
    receiver = await startOtlpReceiver()
    system = await startSystem({ OTEL_EXPORTER_OTLP_ENDPOINT: `${receiver.url}/`, CATALOGUE_TTL: '1ms' })
    await eventually(async () => expect(await play(system.play.url, '456', 'first')).toMatchObject({ status: 200 }))
  })
  afterAll(async () => {
    await system?.[Symbol.asyncDispose]()
    await receiver?.[Symbol.asyncDispose]()
  })

  const spansOf = (traceId: string) => receiver.spans.filter((span) => span.traceId === traceId)

  function expectSpansOfAllServices(traceId: string): void {
    const services = spansOf(traceId).map(({ resource }) => resource['service.name'])
    expect(services).toEqual(expect.arrayContaining([...inAPlay]))
  }

  /** The tests run concurrently to save time, because spans arrive up to a second after a play. */
  describe.concurrent('the collector receives spans', () => {
    let turn: Promise<void> = Promise.resolve()

    /** Waits until earlier views are counted, because concurrent plays would share lookups and batches. */
    function playInTurn(user: string, ...requests: Record<string, string>[]): Promise<void> {
      turn = turn.then(async () => {
        await Promise.all(requests.map((headers) => playIn(system.play, headers, user)))
        await eventually(async () => expect(await views(system.reporting.url, 'user', user)).toBe(requests.length))
      })
      return turn
    }

    test('of a play, its upstream calls and the later count, as one trace', async () => {
      const traceId = 'a'.repeat(32)
      const tracestate = 'vendor=opaque'
      await playInTurn('traced', { traceparent: `00-${traceId}-${'b'.repeat(16)}-01`, tracestate })
      const spans = await eventually(() => {
        const found = spansOf(traceId)
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
      const paths = spans.map((span) => pathTo(span, spans))
      expect(paths).toContainEqual(['bbbbbbbbbbbbbbbb', 'play', 'play', 'metadata'])
      expect(paths).toContainEqual(['bbbbbbbbbbbbbbbb', 'play', 'play', 'cdnurl'])
      expect(paths).toContainEqual(['bbbbbbbbbbbbbbbb', 'play', 'play', 'play', 'reporting'])
      expect(paths).toContainEqual([
        'bbbbbbbbbbbbbbbb',
        'play',
        'play',
        'queue-listener',
        'queue-listener',
        'reporting',
      ])
      for (const span of spans) {
        expect(span.traceState).toBe(tracestate)
        expect(BigInt(span.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano))
      }
      const [server] = spans.filter(({ kind, resource }) => kind === 2 && resource['service.name'] === 'play')
      expect(server?.attributes).toMatchObject({
        'request.id': expect.any(String),
        'view.id': expect.any(String),
        'asset.id': '456',
        'user.id': 'traced',
        'cache.metadata': 'miss',
        'cache.cdnurl': 'miss',
        'http.request.method': 'POST',
        'http.route': '/play/asset/:assetId/user/:userId',
        'url.path': '/play/asset/456/user/traced',
        'http.response.status_code': 200,
      })
      expect(receiver.errors).toEqual([])
    })

    test('of a play without a trace context, as a new trace', async () => {
      await playInTurn('untraced', {})
      await eventually(() => {
        const roots = receiver.spans.filter(
          ({ parentSpanId, attributes }) => !parentSpanId && attributes['url.path'] === '/play/asset/456/user/untraced',
        )
        expect(roots.map(describeSpan)).toEqual(['play: POST /play/asset/:assetId/user/:userId (server)'])
        expectSpansOfAllServices(String(roots[0]?.traceId))
      })
    })

    test('only of plays that their caller samples', async () => {
      const traceId = 'c'.repeat(32)
      await playInTurn('unsampled', { traceparent: `00-${traceId}-${'b'.repeat(16)}-00` })
      await playInTurn('sampled', { traceparent: `00-${'d'.repeat(32)}-${'b'.repeat(16)}-01` })
      await eventually(() => expectSpansOfAllServices('d'.repeat(32)))
      expect(spansOf(traceId)).toEqual([])
    })

    test('of plays that share a batched lookup, as separate traces, with links from the lookup to all of them', async () => {
      const ids = Array.from({ length: 8 }, (_, n) => String(n + 1).repeat(32))
      await playInTurn('batched', ...ids.map((id) => ({ traceparent: `00-${id}-${'b'.repeat(16)}-01` })))
      await eventually(() => {
        for (const id of ids) expect(spansOf(id).map(({ name }) => name)).toContain('process video.viewed')
        const lookups = receiver.spans.filter(
          ({ name, traceId, resource }) =>
            name === 'POST reporting' && resource['service.name'] === 'play' && ids.includes(traceId),
        )
        const linked = lookups.flatMap(({ traceId, links }) => [traceId, ...links.map((link) => link.traceId)])
        expect(linked.toSorted()).toEqual(ids)
        expect(lookups.length).toBeLessThan(ids.length)
      })
    })

    test('but none of probes, scrapes or position polls', async () => {
      for (const path of ['/healthz', '/readyz', '/metrics']) {
        await mapServices((name) => fetch(system[name].url + path))
      }
      await playInTurn('polled', { traceparent: `00-${'f'.repeat(32)}-${'b'.repeat(16)}-01` })
      await eventually(() => expectSpansOfAllServices('f'.repeat(32)))
      const names = new Set(receiver.spans.map(({ name }) => name))
      for (const path of ['/healthz', '/readyz', '/metrics', '/events/position']) {
        expect(names).not.toContain(`GET ${path}`)
      }
    })
  })

  test('the exported spans can also be read from the services', async () => {
    const traceId = '7a'.repeat(16)
    await playIn(system.play, { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` }, 'kept')
    await eventually(async () => {
      expectSpansOfAllServices(traceId)
      const kept = (await traceOf(system.play, traceId)).spans
      const exported = spansOf(traceId)
      expect(kept.map(describeKept).toSorted()).toEqual(exported.map(describeSpan).toSorted())
      for (const { spanId, parentSpanId, attributes, durationMs, at } of kept) {
        const span = exported.find((one) => one.spanId === spanId)
        expect(span).toMatchObject({ parentSpanId, attributes })
        const [start, end] = [span?.startTimeUnixNano, span?.endTimeUnixNano].map((nanos) => Number(nanos) / 1e6)
        expect(durationMs).toBeCloseTo(Number(end) - Number(start), 2)
        expect(Math.abs(Date.parse(at) - Number(start))).toBeLessThan(1)
      }
    })
  })

  test("a failed call's span has an error status", async () => {
    const traceId = 'e'.repeat(32)
    await system.reporting.signal('SIGKILL')
    await playIn(system.play, { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` })
    await system.reporting.start()
    await eventually(() => {
      const lookup = spansOf(traceId).find(({ name }) => name === 'look up counts')
      expect(lookup?.status.code).toBe(2)
      expect(lookup?.attributes['error.type']).toBe('UpstreamError')
    })
  })

  test('a process exports its last spans before it exits', async () => {
    const traceId = '9'.repeat(31).concat('a')
    await playIn(system.play, { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` })
    await system.play.signal('SIGTERM')
    expect(spansOf(traceId).map(describeSpan)).toContain('play: POST /play/asset/:assetId/user/:userId (server)')
    await system.play.start()
  })
})

describe('the trace viewer in docs/operating.md', () => {
  test("receives a play's spans from all services, with the documented variables", async () => {
    await using receiver = await startOtlpReceiver()
    const documented = await readFile('docs/operating.md', 'utf8')
    const {
      jaeger = '',
      name = '',
      endpoint = '',
    } = /^(?<jaeger>docker run .*\/jaeger:2\..*)$.*?^(?<name>\w+)=(?<endpoint>\S+) npm start$/ms.exec(documented)
      ?.groups ?? {}
    for (const port of [16_686, new URL(endpoint).port]) expect(jaeger).toContain(`-p 127.0.0.1:${port}:${port} `)

    const address = new URL(endpoint)
    address.port = new URL(receiver.url).port
    await using system = await npmStart({ PATH: pathWithNats, [name]: address.origin })
    await play(system.play.url, '456', 'viewer')
    await eventually(() => {
      const played = receiver.spans.find(({ name }) => name.startsWith('POST /play/'))
      const spans = receiver.spans.filter(({ traceId }) => traceId === played?.traceId)
      expect(spans.map(({ resource }) => resource['service.name'])).toEqual(expect.arrayContaining([...inAPlay]))
    })
    expect(receiver.errors).toEqual([])
  })
})

describe.concurrent('shutdown', () => {
  test.skipIf(!natsVersion)('takes a few seconds at most if the collector is unreachable', async () => {
    await using system = await startSystem({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' })
    await eventually(async () => expect((await play(system.play.url, '456', 'u')).status).toBe(200))
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'u')).toBeGreaterThan(0))
    await expectStopWithin(system.play, 5_000)
  })

  test('of embedded mode takes a few seconds at most if the collector hangs', async () => {
    await using collector = await startSocketServer()
    await using embedded = await startEmbedded({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
    await eventually(async () => expect((await play(embedded.play.url, '456', 'u')).status).toBe(200))
    await eventually(() => expect(collector.connections()).toBeGreaterThan(0))
    await expectStopWithin(embedded.process, 6_000)
  })
})

describe.skipIf(!natsVersion)('without a collector,', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem({ LOG_LEVEL: 'debug', NODE_OPTIONS: logLoadedModules, CATALOGUE_TTL: '1ms' })
    await eventually(async () => expect(await play(system.play.url, '456', 'first')).toMatchObject({ status: 200 }))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test("a play's trace context is propagated unchanged, and the logs of all services involved contain its trace id", async () => {
    const traceId = 'a'.repeat(32)
    await playIn(system.play, { traceparent: `00-${traceId}-${'b'.repeat(16)}-00` })
    await eventually(() => {
      for (const name of ['play', 'metadata', 'cdnurl', 'reporting'] as const) {
        expect(system[name].lines().join('\n')).toContain(`"trace_id":"${traceId}"`)
      }
    })
  })

  test('the event carries the trace context, as specified by the CloudEvents distributed tracing extension', async () => {
    const context = { traceparent: `00-${'c'.repeat(32)}-${'b'.repeat(16)}-00`, tracestate: 'vendor=opaque' }
    const stored = system.nats.use(async (connection) => {
      const views = connection.subscribe('events.view.*', { max: 1 })
      await connection.flush()
      await playIn(system.play, context)
      for await (const message of views) return message.json()
    })
    expect(await stored).toEqual([expect.objectContaining(context)])
  })

  test('a play with a missing or invalid trace context gets a new one', async () => {
    for (const headers of [{}, { traceparent: `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'vendor=1' }]) {
      const stored = system.nats.use(async (connection) => {
        const views = connection.subscribe('events.view.*', { max: 1 })
        await connection.flush()
        await playIn(system.play, headers)
        for await (const message of views) return message.json()
      })
      const [event] = (await stored) as Record<string, unknown>[]
      expect(event?.traceparent).toMatch(/^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-0[01]$/)
      expect(event).not.toHaveProperty('tracestate')
    }
  })

  test.each([
    ['a long tracestate', { tracestate: 'a'.repeat(15_000) }],
    ['a non-ASCII tracestate', { tracestate: 'vendor=\u00e9' }],
  ])('a play with %s is counted like any other', async (name, headers) => {
    const user = `with-${name.length}`
    const traceparent = `00-${'c'.repeat(32)}-${'b'.repeat(16)}-01`
    const url = `${system.play.url}/play/asset/456/user/${user}`
    expect((await fetch(url, { method: 'POST', headers: { traceparent, ...headers } })).status).toBe(200)
    await eventually(async () => expect(await views(system.reporting.url, 'user', user)).toBe(1))
  })

  test('an event from another producer is counted, even if its trace context is invalid', async () => {
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
    for (const name of serviceNames) expect(loadedBy(system[name])).toEqual([])
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', NODE_OPTIONS: logLoadedModules }
    await using traced = await startService('metadata', endpoint)
    expect(loadedBy(traced)).not.toEqual([])
  })
})

/** The spans of a trace from all services, collected by the service at `url`. */
async function traceOf({ url }: Pick<ServiceProcess, 'url'>, traceId: string): Promise<SystemTrace> {
  return SystemTrace.parse(await getJson(`${url}/traces/${traceId}`))
}

function describeKept({ service, name, kind }: TraceSpan): string {
  return `${service}: ${name} (${kind})`
}

async function expectStopWithin(service: ServiceProcess, limitMs: number): Promise<void> {
  const startedAt = runningTime()
  await service.signal('SIGTERM')
  expect(await service.ended()).toBe(0)
  expect(runningTime() - startedAt).toBeLessThan(limitMs)
}

const kinds = ['', 'internal', 'server', 'client', 'producer', 'consumer']

function describeSpan({ name, kind, resource }: ReceivedSpan): string {
  return `${resource['service.name']}: ${name} (${kinds[kind]})`
}

/** The root span's parent id, then the services of all spans from the root to `span`. */
function pathTo(span: ReceivedSpan, all: ReceivedSpan[]): unknown[] {
  const parent = all.find(({ spanId }) => spanId === span.parentSpanId)
  return [...(parent ? pathTo(parent, all) : [span.parentSpanId]), span.resource['service.name']]
}

async function playIn({ url }: ServiceProcess, headers: Record<string, string> = {}, user = 'traced'): Promise<void> {
  const response = await fetch(`${url}/play/asset/456/user/${user}`, { method: 'POST', headers })
  expect(response.status).toBe(200)
  await response.body?.cancel()
}

/** Log lines for loaded OpenTelemetry modules, except the API, which prom-client loads and which does nothing alone. */
function loadedBy(service: ServiceProcess): string[] {
  return service.lines().filter((line) => /^loaded .*@opentelemetry\/(?!api\/)/.test(line))
}
