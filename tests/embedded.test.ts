import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { embedded } from '../embedded/service.ts'
import type { ServiceName } from '../services.ts'
import { discoverySettings } from '../shared/discovery/settings.ts'
import { createStaticDiscovery } from '../shared/discovery/static.ts'
import { createLog } from '../shared/runtime/log.ts'
import { host, loadSettings, logLevel, port } from '../shared/runtime/settings.ts'
import { createService } from '../shared/service/service.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { tracingSettings } from '../shared/tracing/settings.ts'
import { startChild } from './harness/child.ts'
import { hasConsul, startConsulAgent } from './harness/consul-agent.ts'
import { inAPlay, mapServices, serviceNames } from './harness/each-service.ts'
import { startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { subscribeLive } from './harness/live-subscriber.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { freePortRange } from './harness/ports.ts'
import { withResources } from './harness/resources.ts'
import { runningTime } from './harness/running-time.ts'
import { startService } from './harness/service-process.ts'
import { startSocketServer } from './harness/socket-server.ts'
import { startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const ORIGIN = 'https://tv.example'

describe('in embedded mode,', () => {
  let system: Awaited<ReturnType<typeof startEmbedded>>
  beforeAll(async () => {
    system = await startEmbedded({ CORS_ORIGINS: ORIGIN })
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  const expectViews = (user: string, expected: number) =>
    eventually(async () => expect(await views(system.reporting.url, 'user', user)).toBe(expected))

  test('a play returns the data from all services, and is counted', async () => {
    for (const count of [1, 2, 3]) {
      const { status, body } = await play(system.play.url, '456', 'first')
      expect(status).toBe(200)
      expect(body).toEqual({
        id: '456',
        title: 'Terminator',
        genre: 'action',
        summary: 'Summary for terminator',
        url: 'path/to/asset456.mp4',
        userviews: count,
        assetviews: count,
      })
      await expectViews('first', count)
    }
  })

  test('a second process with the same DATA_DIR prints one line and exits with status 1', async () => {
    await using directory = await createTempDirectory('embedded')
    const env = { DATA_DIR: directory.path }
    await using _ = await startService('embedded', env, await freePortRange())
    const args = ['embedded/main.ts', '--port', String(await freePortRange())]
    await using second = startChild(process.execPath, args, { env: { ...env, NATS_URL: '' } })
    expect(await second.ended).toBe(1)
    expect(second.lines.filter((line) => !line.startsWith('{'))).toEqual([
      `embedded: another process has locked ${directory.path}/events.sqlite: each embedded system needs its own DATA_DIR`,
    ])
  })

  test('every service is ready on its own port', async () => {
    expect(new Set(serviceNames.map((name) => new URL(system[name].url).port)).size).toBe(serviceNames.length)
    for (const name of serviceNames) {
      const { title } = ((await getJson(`${system[name].url}/openapi.json`)) as { info: { title: string } }).info
      expect(title).toBe(name)
      expect((await fetch(`${system[name].url}/readyz`)).status).toBe(200)
    }
  })

  test.skipIf(!natsVersion)(
    'every service has the same routes, metrics and circuits as in its own process',
    async () => {
      await using processes = await startSystem()
      await Promise.all([play(processes.play.url, '456', 'compared'), play(system.play.url, '456', 'compared')])
      for (const name of serviceNames) {
        const [own, other] = [system[name].url, processes[name].url]
        expect(await getJson(`${own}/openapi.json`)).toEqual(await getJson(`${other}/openapi.json`))
        // The embedded log needs no outbox, and has no replicas.
        const expected = (await metricNames(other)).filter((metric) => !/^(outbox_|event_log_replicas$)/.test(metric))
        expect(await metricNames(own)).toEqual(expected)
        const [{ circuits }, { circuits: expectedCircuits }] = [await readiness(own), await readiness(other)]
        expect(circuits).toEqual(expectedCircuits)
      }
    },
  )

  test("play reports each upstream's circuit state, and counts the calls to it", async () => {
    const { circuits } = await readiness(system.play.url)
    expect(circuits).toEqual({ metadata: 'closed', cdnurl: 'closed', reporting: 'closed' })
    await play(system.play.url, '123', 'measured')
    for (const upstream of Object.keys(circuits ?? {})) {
      expect(await metric(system.play.url, sample('circuit_breaker_state', { upstream, state: 'closed' }))).toBe(1)
      const calls = sample('http_client_request_duration_seconds_count', { upstream, outcome: 'answered' })
      expect(await metric(system.play.url, calls)).toBeGreaterThan(0)
    }
  })

  test('each service has its own metrics', async () => {
    await play(system.play.url, '456', 'counted')
    await expectViews('counted', 1)
    const owners: Record<string, ServiceName> = {
      recorded_views_total: 'play',
      forwarded_views_total: 'queue-listener',
      counted_views_total: 'reporting',
    }
    for (const [name, owner] of Object.entries(owners)) {
      const values = await mapServices((service) => metric(system[service].url, new RegExp(`^${name}\\b`)))
      expect(values[owner], name).toBeGreaterThan(0)
      for (const other of serviceNames.filter((service) => service !== owner)) expect(values[other], name).toBe(0)
    }
    const requests = /^http_server_request_duration_seconds_count\{.*route="\/events\/lookup"/
    const lookups = await mapServices((service) => metric(system[service].url, requests))
    expect(lookups.reporting).toBeGreaterThan(0)
    expect(lookups.play).toBe(0)
  })

  test('the edge and reporting push counts to subscribers', async () => {
    await using viewer = await subscribeLive(`${system.play.url}/live`)
    await using subscriber = await subscribeLive(`${system.reporting.url}/events/live`)
    await play(system.play.url, '123', 'watched')
    for (const { seen } of [viewer, subscriber]) {
      await eventually(() => expect(seen()?.users).toContainEqual({ id: 'watched', views: 1 }))
    }
  })

  test("a page from an origin in CORS_ORIGINS may read play's responses", async () => {
    const responses = await Promise.all(
      [ORIGIN, 'https://other.example'].map((origin) =>
        fetch(`${system.play.url}/play/asset/456/user/cors`, { method: 'POST', headers: { origin } }),
      ),
    )
    expect(responses.map(({ headers }) => headers.get('access-control-allow-origin'))).toEqual([ORIGIN, null])
  })

  test('the console is served, and all services are up', async () => {
    const page = await fetch(`${system.play.url}/`)
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    await eventually(async () => expect(await getJson(`${system.play.url}/status`)).toMatchObject({ status: 'ready' }))
    const { parts } = (await getJson(`${system.play.url}/status`)) as { parts: object }
    expect(Object.keys(parts)).toEqual(expect.arrayContaining([...inAPlay, 'events']))
  })

  test("an invalidation reaches play's cache immediately", async () => {
    await play(system.play.url, '123', 'reader')
    const fields = { title: 'It, again', genre: 'horror', summary: '' }
    await fetch(`${system.metadata.url}/content/asset/123`, jsonRequest(fields))
    expect((await play(system.play.url, '123', 'reader')).body).toMatchObject({ title: 'It, again' })
  })

  test('all views are counted after kill -9', async () => {
    const plays = await Promise.all(Array.from({ length: 50 }, () => play(system.play.url, '456', 'survivor')))
    expect(plays.map(({ status }) => status)).toEqual(plays.map(() => 200))
    await system.process.signal('SIGKILL')
    await system.process.start()
    await expectViews('survivor', 50)
  })

  test('the process exits with status 0 after SIGTERM', async () => {
    await system.process.signal('SIGTERM')
    expect(await system.process.ended()).toBe(0)
    await system.process.start()
  })
})

test.skipIf(!hasConsul)('with Consul, embedded services register themselves, and call only each other', async () => {
  await using agent = await startConsulAgent()
  await using other = await startSocketServer()
  const body = { Name: 'reporting', ID: 'other', Address: '127.0.0.1', Port: Number(new URL(other.url).port) }
  await agent.call('/agent/service/register', { method: 'PUT', body })
  await using system = await startEmbedded({ CONSUL_HTTP_ADDR: agent.address })
  await eventually(async () => {
    expect(await agent.call('/health/service/reporting?passing')).toHaveLength(2)
    expect(await agent.call('/health/service/play?passing')).toHaveLength(1)
  })
  for (const count of [1, 2, 3]) {
    expect((await play(system.play.url, '456', '8')).body).toMatchObject({ userviews: count })
    await eventually(async () => expect(await views(system.reporting.url, 'user', '8')).toBe(count))
  }
  expect(other.connections()).toBe(0)
})

describe('the circuit breakers in embedded mode', () => {
  test('open when reporting hangs: plays stay fast, but have no counts', async () => {
    await using reporting = await startSocketServer()
    await using edge = await startEmbeddedWith({ reporting: reporting.url })
    await eventually(async () => {
      expect(await play(edge.url, '456', '8')).toMatchObject({ status: 200, body: { degraded: ['reporting'] } })
      expect((await readiness(edge.url)).circuits).toMatchObject({ reporting: 'open', metadata: 'closed' })
    })
    expect(await metric(edge.url, sample('circuit_breaker_state', { upstream: 'reporting', state: 'open' }))).toBe(1)
    // Every 500 ms, one play probes the upstream and therefore takes longer.
    await eventually(async () => {
      const startedAt = runningTime()
      expect(await play(edge.url, '456', '8')).toMatchObject({ status: 200, body: { degraded: ['reporting'] } })
      expect(runningTime() - startedAt).toBeLessThan(100)
    })
    const rejected = sample('http_client_request_duration_seconds_count', {
      upstream: 'reporting',
      outcome: 'not_asked',
    })
    expect(await metric(edge.url, rejected)).toBeGreaterThan(0)
  })

  test('open when metadata fails', async () => {
    await using metadata = await startSocketServer((socket) => socket.destroy())
    await using edge = await startEmbeddedWith({ metadata: metadata.url })
    await eventually(async () => {
      expect((await play(edge.url, '456', '8')).status).toBe(503)
      expect((await readiness(edge.url)).circuits).toMatchObject({ metadata: 'open', reporting: 'closed' })
    })
  })
})

/** Starts embedded mode in this process, with different upstreams. */
async function startEmbeddedWith(upstreams: Record<string, string>): Promise<AsyncDisposable & { url: string }> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('embedded'))
  const shape = { PORT: port(0), HOST: host, LOG_LEVEL: logLevel, ...discoverySettings, ...tracingSettings }
  const env = { DATA_DIR: directory.path, LOG_LEVEL: 'silent' }
  const settings = loadSettings({ ...shape, ...embedded.settings }, { args: ['--port', '0'], env })
  const stopping = new AbortController()
  const discovery = {
    ...createStaticDiscovery(),
    instancesOf: (name: string, configured: readonly string[]) => {
      const origins = upstreams[name] ? [upstreams[name]] : configured
      return () => origins
    },
  }
  const log = createLog({ name: 'embedded', level: 'silent' })
  const service = createService({ name: 'embedded', log, stopping: stopping.signal, discovery })
  stack.use(service.resources)
  stack.defer(() => stopping.abort())
  const { url } = await embedded.start(service, settings)
  return withResources({ url }, stack)
}

type Readiness = { status: string; circuits?: Record<string, string> }

async function readiness(origin: string): Promise<Readiness> {
  return (await getJson(`${origin}/readyz`)) as Readiness
}

async function metricNames(origin: string): Promise<string[]> {
  const text = await (await fetch(`${origin}/metrics`)).text()
  return [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => String(name)).toSorted()
}

/** Matches the samples of a metric that have these labels in this order. */
function sample(name: string, labels: Record<string, string>): RegExp {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  return new RegExp(`^${name}\\{.*${pairs.join(',')}`)
}
