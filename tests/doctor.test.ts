import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serviceEntries, services } from '../services.ts'
import type { EventBatch } from '../shared/contracts/event-batch.ts'
import type { Position } from '../shared/contracts/position.ts'
import { version } from '../shared/runtime/version.ts'
import { startHttpServer } from '../shared/testing/http-server.ts'
import { hasConsul, startConsulAgent } from './harness/consul-agent.ts'
import { doctor } from './harness/doctor-command.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion, startNatsServer } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { freePort, freePortRange, urlSettingsNextTo } from './harness/ports.ts'
import { startService } from './harness/service-process.ts'
import { metricOfAll, metricsOfEach, requestAnew } from './harness/shared-port.ts'
import { type System, startSystem } from './harness/system.ts'

// The compile cache nearly halves each process's CPU time.
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'doctor-test-compile-cache')

const WRITE_TOKEN = 'the-token'
/** The doctor takes 3 s if every service hangs. Allow twice that on a loaded machine. */
const LIMIT_MS = 6_000

describe.skipIf(!natsVersion)('npm run doctor', () => {
  let system: System
  let env: Record<string, string>
  let playedAt: number
  beforeAll(async () => {
    system = await startSystem({ WRITE_TOKEN })
    env = { ...system.env, DATA_DIR: system.dataDir, PLAY_URL: system.play.url }
    await eventually(async () => expect((await play(system.play.url, '456', 'first')).status).toBe(200))
    playedAt = Date.now()
    await recovered()
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  /** Calls the services directly, which is cheaper than running the doctor. */
  const recovered = () =>
    eventually(async () => {
      const { play, metadata, cdnurl, reporting, listener } = system
      for (const { url } of [play, metadata, cdnurl, reporting, listener]) {
        expect(JSON.stringify(await getJson(`${url}/readyz`))).not.toMatch(/down|not ready/)
      }
      expect(await metric(play.url, /^outbox_waiting_views/)).toBe(0)
      expect(await metric(listener.url, /^event_log_lag_messages/)).toBe(0)
    })

  /** Waits until the first view is so old that the doctor would report it as stuck if it were not counted. */
  const firstViewIsOld = () => eventually(() => expect(Date.now() - playedAt).toBeGreaterThan(3_000))

  test('prints a line for each check and exits with status 0 if the system is healthy', async () => {
    await eventually(async () => {
      const { status, text } = await doctor(env)
      expect(text.split('\n').map((line) => line.replace(/ +/g, ' '))).toEqual([
        ...serviceEntries.map(({ name }) => `ok ${name} ${system[name].url} is ready`),
        `ok nats ${system.nats.url.replace('nats://', '')} (nats-server ${natsVersion}) is up`,
        expect.stringMatching(/^ok log stream EVENTS: \d+ messages?, [\d.]+ kB since 20\S+Z, kept forever$/),
        'ok counting all messages in the log are counted',
        `ok checkpoint ${system.reporting.url} saves its counts`,
        expect.stringMatching(`^ok audit ${system.reporting.url} has \\d+ views? = \\d+ qualified`),
        `ok outbox ${system.play.url} has no views in its outbox`,
        expect.stringMatching(/^ok node \d/),
        expect.stringMatching(/^(ok|warn) disk [\d,]+ MiB free for /),
        'ok public not safe for the internet: 6 exposures; npm run doctor -- --public lists them',
        '',
        'No problems found.',
      ])
      expect(status).toBe(0)
    })
  })

  test('reports a killed service, with the command to start it and the effect of the outage', async () => {
    await system.reporting.signal('SIGKILL')
    const { port } = new URL(system.reporting.url)
    const { whenDown } = services.reporting
    // The other services detect the outage a moment later.
    await eventually(async () => {
      const { status, of } = await doctor(env)
      expect(status).toBe(1)
      expect(of('reporting')).toEqual([
        `FAIL ${system.reporting.url} is unreachable (ECONNREFUSED): start it (npx node reporting/main.ts --port ${port}); until then, ${whenDown}`,
      ])
      expect(of('play')).toContain(`warn ${system.play.url} is ready, with reporting down: see reporting`)
      expect(of('queue-listener')).toEqual([
        `FAIL ${system.listener.url} is not ready, with reporting down: see reporting`,
      ])
    })
    await system.reporting.start()
    await recovered()
  })

  test('warns about dead letters, with the reason for the last one', async () => {
    await system.nats.use((connection) => connection.jetstream().publish('events.view.tv', 'not json'))
    await eventually(async () => {
      const { status, of } = await doctor(env)
      expect(of('log')[1]).toMatch(/^warn 1 dead letter in events.rejected \(reason for the last one: .*not valid JSON/)
      expect(status).toBe(0)
    })
    await system.nats.use(async (connection) => {
      await (await connection.jetstreamManager()).streams.purge('EVENTS', { filter: 'events.rejected' })
    })
  })

  // Concurrent tests only read the system that they share.
  describe('checks services:', () => {
    test('a hung service is reported within seconds', { concurrent: true }, async () => {
      await using hanging = await startHanging()
      const { status, ms, of } = await doctor({ ...env, METADATA_URL: `http://${hanging.address}` })
      expect(status).toBe(1)
      expect(of('metadata')).toEqual([
        expect.stringMatching(/^FAIL \S+ is unreachable \(no response within 2 s\): it hangs, so kill it/),
      ])
      expect(ms).toBeLessThan(LIMIT_MS)
    })

    test("a different program on a service's port is detected", { concurrent: true }, async () => {
      await using stranger = await startFake({ '/readyz': 'It works!' })
      const { status, of } = await doctor({ ...env, METADATA_URL: stranger.url, CDNURL_URL: system.metadata.url })
      expect(status).toBe(1)
      expect(of('metadata')).toEqual([
        `FAIL ${stranger.url} is a different program: stop it, or start metadata with another --port and set METADATA_URL`,
      ])
      expect(of('cdnurl')).toEqual([`FAIL ${system.metadata.url} is metadata, not cdnurl: fix CDNURL_URL`])
    })

    test('a different version, a different Node version and an open circuit cause warnings', {
      concurrent: true,
    }, async () => {
      await using old = await startOldReporting()
      const { of } = await doctor({ ...env, REPORTING_URL: old.url })
      expect(of('reporting')).toEqual([
        expect.stringMatching(`^warn ${old.url} has an open circuit to cdnurl`),
        `warn ${old.url} is version 0.0.1, not ${version}: restart it from this checkout`,
        expect.stringMatching(`^warn ${old.url} runs on Node 18.0.0: `),
      ])
    })
  })

  test('warns about counts that are behind, and about a stalled queue-listener', {
    concurrent: true,
  }, async () => {
    const counting = { state: 'replaying', progress: 0.4 }
    const forwarding = { state: 'stalled', waiting: 7 }
    await using reporting = await startFake({
      '/readyz': { status: 'ready', dependencies: {}, counting },
      '/openapi.json': { info: { title: 'reporting', version } },
      '/metrics': '',
    })
    await using listener = await startFake({
      '/readyz': { status: 'degraded', dependencies: {}, forwarding },
      '/openapi.json': { info: { title: 'queue-listener', version } },
      '/metrics': '',
    })
    const { of } = await doctor({ ...env, REPORTING_URL: reporting.url, QUEUE_LISTENER_URL: listener.url })
    expect(of('reporting')).toEqual([
      `warn ${reporting.url} has counted 40% of the log, so plays have null counts: wait, or see counting`,
    ])
    expect(of('queue-listener')).toEqual([
      `warn ${listener.url} is degraded, because counting has stalled: see counting`,
    ])
  })

  describe('checks instances and settings:', () => {
    test('instances that do not share their data are reported as a failure', async () => {
      await using reporting = await startOldReporting()
      await using metadata = await startService('metadata')
      const { status, of } = await doctor({
        ...env,
        REPORTING_URL: `${system.reporting.url},${reporting.url}`,
        METADATA_URL: `${system.metadata.url},${metadata.url}`,
      })
      expect(of('reporting')).toContain(
        'FAIL its 2 instances do not share their data: keep only one of them, or set DATABASE_URL for all',
      )
      expect(of('metadata')).toContain('FAIL its 2 instances do not share their data: set NATS_URL for each of them')
      expect(status).toBe(1)
    })

    test('a service that cannot reach another one is reported, even though both are up', async () => {
      await using directory = await temporaryDirectory()
      const settings = { ...system.env, DATA_DIR: directory.path, REPORTING_URL: 'http://127.0.0.1:9' }
      await using lost = await startService('play', settings)
      await eventually(async () => {
        const { status, of } = await doctor({ ...env, PLAY_URL: lost.url })
        expect(status).toBe(1)
        const reason = 'http://127.0.0.1:9: connect ECONNREFUSED 127.0.0.1:9'
        expect(of('play')).toEqual([
          `FAIL ${lost.url} is ready, with reporting down (${reason}): fix its REPORTING_URL`,
        ])
      })
    })

    test('a retention that differs from EVENTS_MAX_AGE causes a warning', async () => {
      await eventually(async () => {
        const { status, of } = await doctor({ ...env, EVENTS_MAX_AGE: '90d' })
        expect(of('log')[0]).toMatch(/^warn .* kept forever, not for 90 days: .* EVENTS_MAX_AGE/)
        expect(status).toBe(0)
      })
    })
  })

  describe('checks that views are counted:', () => {
    test('a queue-listener whose writes are rejected is detected by its lag', {
      concurrent: true,
    }, async () => {
      await using reporting = await startService('reporting', system.env)
      const urls = { REPORTING_URL: reporting.url }
      await using listener = await startService('queue-listener', { ...system.env, ...urls, WRITE_TOKEN: 'another' })
      await firstViewIsOld()
      await eventually(async () => {
        const { status, of } = await doctor({ ...env, ...urls, QUEUE_LISTENER_URL: listener.url })
        expect(of('queue-listener')).toEqual([`ok ${listener.url} is ready`])
        expect(of('counting')).toEqual([expect.stringMatching(/^FAIL \d+ messages? not counted yet.*WRITE_TOKEN/)])
        expect(status).toBe(1)
      })
    })

    test("a log that ends before reporting's position is detected", { concurrent: true }, async () => {
      await using reporting = await startService('reporting', system.env)
      const { stream, sequence } = (await getJson(`${system.reporting.url}/events/position`)) as Position
      await count(reporting.url, { stream, after: 0, through: sequence + 100, views: [] })
      await eventually(async () => {
        const { status, of } = await doctor({ ...env, REPORTING_URL: reporting.url })
        expect(status).toBe(1)
        expect(of('counting')).toEqual([
          expect.stringMatching(`^FAIL the log ends at \\d+, .* up to ${sequence + 100}: .*restart reporting`),
        ])
      })
    })

    test('views that the log lost are detected', { concurrent: true }, async () => {
      await using reporting = await startService('reporting', system.env)
      const { stream, sequence } = (await getJson(`${system.reporting.url}/events/position`)) as Position
      const view = { id: 'x', assetId: '456', userId: '8', at: '2026-11-20T21:00:00Z', producer: 'P', serial: 3 }
      await count(reporting.url, { stream, after: 0, through: sequence, views: [view, { ...view, serial: 5 }] })
      await eventually(async () => {
        const { status, of } = await doctor({ ...env, REPORTING_URL: reporting.url })
        expect(of('log')).toContainEqual(
          expect.stringMatching(
            /^FAIL the log lost 3 acknowledged views: 1 to 2 of P, 4 to 4 of P; repair the storage/,
          ),
        )
        expect(status).toBe(1)
      })
    })

    test('a producer with control characters and line breaks is printed on a single line', {
      concurrent: true,
    }, async () => {
      await using reporting = await startService('reporting', system.env)
      const { stream, sequence } = (await getJson(`${system.reporting.url}/events/position`)) as Position
      const producer = 'P\u001b[2K\nok    log  nothing is lost'
      const view = { id: 'x', assetId: '456', userId: '8', at: '2026-11-20T21:00:00Z', producer, serial: 3 }
      await count(reporting.url, { stream, after: 0, through: sequence, views: [view] })
      await eventually(async () => {
        const { of } = await doctor({ ...env, REPORTING_URL: reporting.url })
        const line = 'FAIL the log lost 2 acknowledged views: 1 to 2 of P\\u001b[2K ok    log  nothing is lost; repair'
        expect(of('log')).toContainEqual(expect.stringContaining(line))
        expect(of('log')).not.toContainEqual(expect.stringMatching(/^ok nothing is lost/))
      })
    })

    test('a reporting instance that does not report lost views causes a warning', { concurrent: true }, async () => {
      await using old = await startOldReporting()
      const { of } = await doctor({ ...env, REPORTING_URL: old.url })
      expect(of('log')).toContain(
        `warn ${old.url} does not say whether the log lost views: see reporting's GET /events/lost`,
      )
    })

    test("a play instance whose retention differs from the log's causes a warning", {
      concurrent: true,
    }, async () => {
      await using edge = await startService('play', { ...system.env, EVENTS_MAX_AGE: '90d' })
      await eventually(async () => {
        const { of } = await doctor({ ...env, PLAY_URL: edge.url })
        expect(of('log')).toContainEqual(
          expect.stringMatching(
            /^warn .* is set to keep views for 90 days, but the log keeps them forever: set the same/,
          ),
        )
      })
    })

    test('the outbox backlogs of play processes that share a port are added up, and a corrupt outbox is reported', async () => {
      await using directory = await temporaryDirectory()
      await using nats = await startNatsServer()
      const own = { ...system.env, DATA_DIR: directory.path, NATS_URL: nats.url, REUSE_PORT: '1' }
      const corrupt = join(directory.path, 'outbox-1.sqlite')
      await writeFile(corrupt, 'not a database')
      await using edge = await startService('play', own)
      await using _ = await startService('play', own, Number(new URL(edge.url).port))
      await eventually(async () =>
        expect((await requestAnew(`${edge.url}/play/asset/456/user/8`, 'POST')).status).toBe(200),
      )
      await nats.signal('SIGKILL')
      let waiting = 0
      await eventually(async () => {
        await requestAnew(`${edge.url}/play/asset/456/user/8`, 'POST')
        const metrics = await metricsOfEach(edge.url, 2)
        for (const text of metrics.values()) expect(text).toMatch(/^outbox_waiting_views [1-9]/m)
        waiting = await metricOfAll(edge.url, 2, /^outbox_waiting_views /)
      })
      const { of } = await doctor({ ...env, ...own, PLAY_URL: edge.url })
      expect(of('outbox')).toEqual([
        `FAIL ${edge.url} has ${waiting} views in its outbox, and it is not draining: fix NATS; the outbox then drains automatically`,
        expect.stringMatching(`^warn ${corrupt}\\.corrupt-\\d+ was set aside because it is corrupt: `),
      ])
    })

    test('views in an outbox are detected while NATS is down, whether play is running or not', async () => {
      await using directory = await temporaryDirectory()
      await using nats = await startNatsServer()
      const own = { DATA_DIR: directory.path, NATS_URL: nats.url }
      await using edge = await startService('play', { ...system.env, ...own })
      const settings = { ...env, ...own, PLAY_URL: edge.url }
      await eventually(async () => expect((await play(edge.url, '456', 'a')).body).not.toHaveProperty('degraded'))

      await nats.signal('SIGKILL')
      for (const user of ['a', 'b']) expect((await play(edge.url, '456', user)).status).toBe(200)
      await eventually(async () => {
        const { status, of } = await doctor(settings)
        expect(status).toBe(1)
        expect(of('nats')).toEqual([expect.stringMatching(/^FAIL .* is unreachable \(CONNECTION_REFUSED\): start it/)])
        expect(of('play')).toEqual([`warn ${edge.url} is ready, with nats down: see nats`])
        expect(of('outbox')).toEqual([
          expect.stringContaining(`FAIL ${edge.url} has 2 views in its outbox, and it is not draining`),
        ])
      })

      await edge.signal('SIGKILL')
      const files = await readdir(directory.path)
      const { port } = new URL(edge.url)
      expect((await doctor(settings)).of('outbox')).toEqual([
        expect.stringMatching(
          `^FAIL 2 views in .*outbox-${port}.sqlite, but no play .*npx node play/main.ts --port ${port}\\)$`,
        ),
      ])
      expect(await readdir(directory.path)).toEqual(files)

      await Promise.all([nats.start(), edge.start()])
      await eventually(async () => expect(await metric(edge.url, /^outbox_waiting_views/)).toBe(0))
      expect((await doctor(settings)).of('outbox')).toEqual([`ok ${edge.url} has no views in its outbox`])
    })
  })
})

describe.skipIf(!natsVersion)('npm run doctor with only NATS', () => {
  test('reports that nothing has been played if there is no stream, and does not create one', {
    concurrent: true,
  }, async () => {
    await using nats = await startNatsServer()
    const { of } = await doctor({ NATS_URL: nats.url }, await nowhere())
    expect(of('log')).toEqual(['ok the stream EVENTS does not exist yet: nothing has been played'])
    const streams = nats.use(async (connection) => (await connection.jetstreamManager()).streams.list().next())
    expect(await streams).toEqual([])
  })

  test('distinguishes an account without JetStream from a wrong password', { concurrent: true }, async () => {
    await using directory = await temporaryDirectory()
    const config = join(directory.path, 'accounts.conf')
    await writeFile(config, 'accounts { PLAIN { users = [{ user: me, password: right }] } }')
    await using nats = await startNatsServer({ config })
    const at = (credentials: string) => ({ NATS_URL: nats.url.replace('//', `//${credentials}@`) })
    const plain = await doctor(at('me:right'), await nowhere())
    expect(plain.of('nats')).toEqual([
      expect.stringMatching(/^FAIL \S+ does not have JetStream enabled: start it with --jetstream/),
    ])
    const rejected = await doctor(at('me:wrong'), await nowhere())
    expect(rejected.of('nats')).toEqual([expect.stringMatching(/^FAIL \S+ rejects the credentials: /)])
    expect(rejected.text).not.toContain('wrong@')
  })
})

describe('npm run doctor without NATS', () => {
  test('recognizes embedded mode, and does not require NATS', { concurrent: true }, async () => {
    await using directory = await temporaryDirectory()
    const edgePort = await freePortRange()
    await using _ = await startService('embedded', { DATA_DIR: directory.path }, edgePort)
    const reporting = `http://127.0.0.1:${edgePort + 2}`
    await eventually(async () => expect((await play(`http://127.0.0.1:${edgePort}`, '456', '8')).status).toBe(200))
    await eventually(async () => expect(await views(reporting, 'user', '8')).toBe(1))
    await eventually(async () => {
      const { status, of, text } = await doctor({}, ['--port', String(edgePort)])
      expect(text).not.toMatch(/^(FAIL|warn)/m)
      expect(of('log')).toEqual([expect.stringContaining('ok embedded mode')])
      expect(of('counting')).toEqual(['ok all messages in the log are counted'])
      expect(of('nats')).toEqual([])
      expect(status).toBe(0)
    })
  })

  test('finishes within seconds if everything hangs', { concurrent: true }, async () => {
    await using hanging = await startHanging()
    const origin = `http://${hanging.address}`
    const urls = Object.fromEntries(serviceEntries.map(({ urlSetting }) => [urlSetting, origin]))
    const { status, ms, of } = await doctor({ ...urls, NATS_URL: hanging.address })
    expect(status).toBe(1)
    expect(of('nats')).toEqual([expect.stringContaining('is unreachable (TIMEOUT)')])
    for (const { name } of serviceEntries) expect(of(name)).toEqual([expect.stringContaining('it hangs')])
    expect(ms).toBeLessThan(LIMIT_MS)
  })

  test('takes no longer if multiple instances of a service hang', { concurrent: true }, async () => {
    await using hanging = await startHanging()
    const REPORTING_URL = Array.from({ length: 4 }, () => `http://${hanging.address}`).join()
    const { ms, of } = await doctor({ ...urlSettingsNextTo(await freePortRange()), REPORTING_URL })
    expect(of('reporting')).toHaveLength(4)
    expect(ms).toBeLessThan(LIMIT_MS)
  })

  test.each(['REPORTING_URL', 'QUEUE_LISTENER_URL'])(
    'reads each endpoint of a hung service once: %s',
    {
      concurrent: true,
    },
    async (setting) => {
      const paths: string[] = []
      await using hanging = await startHttpServer(({ url = '' }) => void paths.push(url))
      await doctor({ ...urlSettingsNextTo(await freePortRange()), [setting]: hanging.url })
      expect(paths).toEqual(expect.arrayContaining(['/readyz', '/metrics', '/openapi.json']))
      expect(paths).toHaveLength(new Set(paths).size)
    },
  )

  test('shows how to start everything if nothing is running', async () => {
    const { status, text } = await doctor({}, await nowhere())
    expect(status).toBe(1)
    expect(text).toMatch(/Nothing is running: `npm start` starts everything\.$/)
    expect(text).not.toContain('\u001b')
  })

  test.each([
    [['--colour'], {}, "Unknown option '--colour'"],
    [['--port', '80'], {}, '--port is "80": it must be a port'],
    [[], { NATS_URL: 'http://nats' }, 'NATS_URL is "http://nats"'],
  ])(
    'with the arguments %j and the settings %j, exits with status 2 and one line that names the setting',
    async (args, env, message) => {
      const { status, text } = await doctor(env, args)
      expect({ status, text }).toEqual({ status: 2, text: expect.stringContaining(`npm run doctor: ${message}`) })
      expect(text).not.toContain('\n')
    },
  )

  test('reads settings from .env', async () => {
    await using directory = await temporaryDirectory()
    await writeFile(join(directory.path, '.env'), 'CONSUL_HTTP_SSL=perhaps\n')
    const { status, text } = await doctor({}, [], directory.path)
    expect({ status, text }).toEqual({ status: 2, text: expect.stringContaining('CONSUL_HTTP_SSL is "perhaps"') })
  })

  test('exits with status 0 after --help', async () => {
    expect(await doctor({}, ['--help'])).toMatchObject({ status: 0, text: expect.stringContaining('--port N') })
  })
})

describe.skipIf(!hasConsul)('npm run doctor with Consul', () => {
  test('reports services that are not registered, and checks registered ones', { concurrent: true }, async () => {
    await using consul = await startConsulAgent()
    const CONSUL_HTTP_ADDR = consul.address
    const starting = ['metadata', 'reporting'].map((name) => startService(name, { CONSUL_HTTP_ADDR }))
    const [metadata, reporting] = await Promise.all(starting)
    await using stack = new AsyncDisposableStack()
    for (const service of [metadata, reporting]) if (service) stack.use(service)
    const port = await freePortRange()
    const range = ['--port', String(port)]
    await eventually(async () => {
      const passing = await consul.call('/health/state/passing')
      expect(JSON.stringify(passing).match(/"ServiceName":"(metadata|reporting)"/g)).toHaveLength(2)
    })
    const found = await doctor({ CONSUL_HTTP_ADDR }, range)
    expect(found.of('metadata')).toEqual([`ok ${metadata?.url} is ready`])
    expect(found.of('reporting')).toEqual([`ok ${reporting?.url} is ready`])
    expect(found.of('consul')).toEqual(
      serviceEntries
        .filter(({ name }) => name !== 'metadata' && name !== 'reporting')
        .map(({ name }) => expect.stringContaining(`FAIL ${name} is not`)),
    )
    const unset = await doctor({ ...urlSettingsNextTo(port), METADATA_URL: metadata?.url ?? '' })
    expect(unset.of('consul')).toEqual([expect.stringMatching(/^warn the services use Consul: set CONSUL_HTTP_ADDR/)])

    await metadata?.signal('SIGKILL')
    const killed = await doctor({ CONSUL_HTTP_ADDR }, range)
    expect(killed.of('metadata')).toEqual([expect.stringMatching(`^FAIL ${metadata?.url} is unreachable .*: start it`)])
    await consul.signal('SIGKILL')
    const { of } = await doctor({ CONSUL_HTTP_ADDR }, range)
    expect(of('consul')).toEqual([expect.stringContaining(`FAIL ${consul.address} is unreachable`)])
  })

  test('reports a rejected token', { concurrent: true }, async () => {
    await using consul = await startConsulAgent({ managementToken: '11111111-1111-4111-8111-111111111111' })
    const CONSUL_HTTP_TOKEN = '22222222-2222-4222-8222-222222222222'
    const { of, text } = await doctor({ CONSUL_HTTP_ADDR: consul.address, CONSUL_HTTP_TOKEN }, await nowhere())
    expect(of('consul')).toEqual([expect.stringMatching(/^FAIL \S+ rejects the token: fix CONSUL_HTTP_TOKEN/)])
    expect(text).not.toContain(CONSUL_HTTP_TOKEN)
  })

  test('reports a cluster without a leader', { concurrent: true }, async () => {
    await using fake = await startFake({}, { status: 500, text: 'No cluster leader' })
    const { of } = await doctor({ CONSUL_HTTP_ADDR: new URL(fake.url).host }, await nowhere())
    expect(of('consul')).toEqual([expect.stringMatching(/^FAIL \S+ has no leader: wait/)])
  })
})

/** Arguments that select unused ports. */
async function nowhere(): Promise<string[]> {
  return ['--port', String(await freePortRange())]
}

async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'doctor-test-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** Makes reporting count a batch that is not in the log. */
function count(reporting: string, batch: EventBatch): Promise<Response> {
  return fetch(`${reporting}/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${WRITE_TOKEN}` },
    body: JSON.stringify(batch),
  })
}

function startOldReporting() {
  return startFake({
    '/readyz': { status: 'ready', dependencies: {}, circuits: { cdnurl: 'open' } },
    '/openapi.json': { info: { title: 'reporting', version: '0.0.1' } },
    '/metrics': 'nodejs_version_info{version="v18.0.0",major="18"} 1\n',
  })
}

/** A program that responds to each path with text or JSON. */
async function startFake(responses: Record<string, unknown>, fallback = { status: 200, text: '{}' }) {
  const server = createHttpServer((request, response) => {
    const body = responses[request.url ?? '']
    if (body === undefined) response.writeHead(fallback.status, { 'content-type': 'text/plain' })
    response.end(typeof body === 'string' ? body : body === undefined ? fallback.text : JSON.stringify(body))
  })
  const { address, stop } = await listen(server)
  return { url: `http://${address}`, [Symbol.asyncDispose]: stop }
}

/** A program that accepts connections and never responds. */
async function startHanging() {
  const { address, stop } = await listen(createServer())
  return { address, [Symbol.asyncDispose]: stop }
}

async function listen(server: Server) {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => sockets.add(socket.on('error', () => {})))
  server.listen(await freePort(), '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}
