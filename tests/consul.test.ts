import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ConsulAgent, hasConsul, startConsulAgent } from './harness/consul-agent.ts'
import { eventually } from './harness/eventually.ts'
import { type NatsServer, natsVersion, startNatsServer } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { freePort } from './harness/ports.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'

/** Where nobody is: whoever is found was found by Consul. */
const NOWHERE = 'http://127.0.0.1:9'
const nowhere = { METADATA_URL: NOWHERE, CDNURL_URL: NOWHERE, REPORTING_URL: NOWHERE }

describe.skipIf(!natsVersion || !hasConsul)('with Consul', { timeout: 60_000 }, () => {
  const stack = new AsyncDisposableStack()
  let consul: ConsulAgent
  let nats: NatsServer
  let env: Record<string, string>
  let services: Record<'metadata' | 'cdnurl' | 'reporting' | 'queue-listener' | 'play', ServiceProcess>

  beforeAll(async () => {
    consul = stack.use(await startConsulAgent())
    nats = stack.use(await startNatsServer())
    const folder = await mkdtemp(join(tmpdir(), 'consul-test-'))
    stack.defer(() => rm(folder, { recursive: true, force: true }))
    env = {
      ...nowhere,
      NATS_URL: nats.url,
      DATA_DIR: folder,
      CONSUL_HTTP_ADDR: consul.address,
      // play asks metadata and cdnurl for each play, so that it notices at once who is there.
      CATALOGUE_TTL: '1ms',
    }
    const start = async (name: string) => stack.use(await startService(name, env))
    services = {
      metadata: await start('metadata'),
      cdnurl: await start('cdnurl'),
      reporting: await start('reporting'),
      'queue-listener': await start('queue-listener'),
      play: await start('play'),
    }
    await expectWholePlay()
  }, 60_000)
  afterAll(() => stack.disposeAsync())

  const playOnce = () => play(services.play.url, '456', 'someone')
  const expectWholePlay = () =>
    eventually(async () => {
      const { status, body } = await playOnce()
      expect({ status, body }).toMatchObject({ status: 200, body: { title: 'Terminator' } })
      expect(body).not.toHaveProperty('degraded')
    })
  const healthy = async (service: string) => {
    const entries = (await consul.call(`/health/service/${service}?passing`)) as Entry[]
    return entries.map(({ Service }) => `http://${Service.Address}:${Service.Port}`)
  }

  test('every service is registered, with its address, port and version, and a check of its readiness', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8'))
    for (const [name, { url }] of Object.entries(services)) {
      await eventually(async () => expect(await healthy(name)).toEqual([url]))
      const { port } = new URL(url)
      const [entry] = (await consul.call(`/health/service/${name}`)) as Entry[]
      expect(entry).toMatchObject({
        Service: { ID: `${name}-127.0.0.1-${port}`, Tags: [`v${version}`] },
        Checks: expect.arrayContaining([
          expect.objectContaining({ Name: `/readyz of ${name}`, Type: 'http', ServiceName: name }),
        ]),
      })
    }
  })

  test('a port that the system chose is the one that is registered', async () => {
    await using other = await startService('metadata', { ...env, PORT: '0' })
    await eventually(async () => expect(await healthy('metadata')).toContain(other.url))
  })

  test('an instance is registered at the address that it is to be found at', async () => {
    await using other = await startService('reporting', {
      ...env,
      HOST: '0.0.0.0',
      ADVERTISE_HOST: 'localhost',
      ALLOW_OPEN_WRITES: '1',
    })
    const advertised = `http://localhost:${new URL(other.url).port}`
    await eventually(async () => expect(await healthy('reporting')).toContain(advertised))
  })

  test('plays are answered and counted by services that Consul alone knows', async () => {
    const before = await views(services.reporting.url, 'user', 'found')
    expect(await play(services.play.url, '456', 'found')).toMatchObject({
      status: 200,
      body: { userviews: before + 1 },
    })
    await eventually(async () => expect(await views(services.reporting.url, 'user', 'found')).toBe(before + 1))
  })

  test('each service shows the state of Consul', async () => {
    for (const { url } of Object.values(services)) {
      expect(await getJson(`${url}/readyz`)).toMatchObject({ dependencies: { consul: 'up' } })
    }
  })

  test('two instances share the load', async () => {
    await using second = await startService('metadata', env)
    await eventually(async () => expect(await healthy('metadata')).toHaveLength(2))
    const asked = ({ url }: ServiceProcess) =>
      metric(url, /^http_server_request_duration_seconds_count\{.*\/content\/asset\/:assetId/)
    await eventually(async () => {
      await playOnce()
      expect(await asked(second)).toBeGreaterThan(0)
    })
    const before = [await asked(services.metadata), await asked(second)] as const
    const shares = async () => [(await asked(services.metadata)) - before[0], (await asked(second)) - before[1]]
    await eventually(async () => {
      await playOnce()
      const [first = 0, other = 0] = await shares()
      expect(first + other).toBeGreaterThan(100)
    })
    expect(Math.min(...(await shares()))).toBeGreaterThan(20)
  })

  test('kill -9 of one of two instances under load fails no play', async () => {
    await using second = await startService('metadata', env)
    await using load = startLoad(services.play)
    await eventually(async () => expect(await healthy('metadata')).toHaveLength(2))
    await load.more(100)
    await second.signal('SIGKILL')
    await load.more(500)
    expect(load.failures).toEqual([])
  })

  test('an instance of two that hangs fails no play, and costs few of them time', async () => {
    await using second = await startService('metadata', env)
    await using load = startLoad(services.play)
    await eventually(async () => expect(await healthy('metadata')).toHaveLength(2))
    await load.more(100)
    await second.signal('SIGSTOP')
    await load.more(500)
    expect(load.failures).toEqual([])
    expect(load.slowestMs()).toBeLessThan(1_000)
  })

  test('an instance that moves to another port is followed within a second, without a failed play', async () => {
    await using load = startLoad(services.play)
    await load.more(50)
    const moved = stack.use(await startService('metadata', env))
    await eventually(async () => expect(await healthy('metadata')).toContain(moved.url), 1_000)
    await services.metadata.signal('SIGTERM')
    expect(await services.metadata.ended()).toBe(0)
    services.metadata = moved
    expect(await healthy('metadata')).toEqual([moved.url])
    await load.more(200)
    expect(load.failures).toEqual([])
  })

  test('an instance that was killed and comes back elsewhere is found within a second', async () => {
    await services.metadata.signal('SIGKILL')
    await eventually(async () => expect((await playOnce()).body).toMatchObject({ degraded: ['metadata'] }))
    services.metadata = stack.use(await startService('metadata', env))
    await eventually(async () => expect((await playOnce()).body).not.toHaveProperty('degraded'), 1_000)
  })

  test('while the agent is away all goes on, and one that comes back empty learns of all again', async () => {
    await consul.signal('SIGKILL')
    await eventually(async () =>
      expect(await getJson(`${services.play.url}/readyz`)).toMatchObject({ dependencies: { consul: 'down' } }),
    )
    expect((await fetch(`${services.play.url}/readyz`)).status).toBe(200)
    for (let count = 0; count < 20; count += 1) expect((await playOnce()).body).not.toHaveProperty('degraded')
    const told = services.play.lines().filter((line) => line.includes('Consul does not do'))
    expect(told).toHaveLength(1)

    await consul.start()
    await using load = startLoad(services.play)
    for (const [name, { url }] of Object.entries(services)) {
      await eventually(async () => expect(await healthy(name)).toEqual([url]))
    }
    await eventually(async () =>
      expect(await getJson(`${services.play.url}/readyz`)).toMatchObject({ dependencies: { consul: 'up' } }),
    )
    expect(load.failures).toEqual([])
  })

  test('what moves after the agent was restarted is followed too', async () => {
    const moved = stack.use(await startService('cdnurl', env))
    await services.cdnurl.signal('SIGTERM')
    services.cdnurl = moved
    await expectWholePlay()
  })

  test('a service that is told to stop leaves before it stops listening', async () => {
    const other = stack.use(await startService('cdnurl', { ...env, PORT: String(await freePort()) }))
    await eventually(async () => expect(await healthy('cdnurl')).toContain(other.url))
    // A request that is never sent to its end keeps the service from closing, so both can be seen.
    const slow = fetch(`${other.url}/url/asset/slow`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-length': '100' },
      body: new ReadableStream({ start() {} }),
      duplex: 'half',
    } as RequestInit).catch(() => undefined)
    const ending = other.signal('SIGTERM')
    await eventually(async () => expect(await healthy('cdnurl')).not.toContain(other.url))
    await Promise.all([ending, slow])
    expect(await other.ended()).toBe(0)
  })

  test('the agent may be asked by its Unix socket', async () => {
    await using other = await startService('reporting', { ...env, CONSUL_HTTP_ADDR: `unix://${consul.socket}` })
    await eventually(async () => expect(await healthy('reporting')).toContain(other.url))
  })
})

describe.skipIf(!hasConsul)('with a Consul that asks for tokens', { timeout: 60_000 }, () => {
  const managementToken = '11111111-1111-4111-8111-111111111111'
  let consul: ConsulAgent
  beforeAll(async () => {
    consul = await startConsulAgent({ managementToken })
  }, 60_000)
  afterAll(() => consul?.[Symbol.asyncDispose]())

  const start = (CONSUL_HTTP_TOKEN: string) =>
    startService('reporting', { CONSUL_HTTP_ADDR: consul.address, CONSUL_HTTP_TOKEN })

  test.each(['', '22222222-2222-4222-8222-222222222222'])(
    'with the token %j the service goes on, and says once what is wrong',
    async (token) => {
      await using service = await start(token)
      await eventually(async () =>
        expect(await getJson(`${service.url}/readyz`)).toEqual({ status: 'ready', dependencies: { consul: 'down' } }),
      )
      expect((await fetch(`${service.url}/events/top`)).status).toBe(200)
      const told = service.lines().filter((line) => line.includes('"level":40'))
      expect(told).toHaveLength(1)
      expect(told[0]).toMatch(/Permission denied|ACL not found/)
      expect(service.lines().join('\n')).not.toContain('22222222')
    },
  )

  test('the policy of deploy/consul-policy.hcl is enough to register and to find', async () => {
    const Rules = await readFile('deploy/consul-policy.hcl', 'utf8')
    await eventually(() => consul.call('/acl/policy', { method: 'PUT', body: { Name: 'video-edge', Rules } }), 20_000)
    const body = { Policies: [{ Name: 'video-edge' }] }
    const { SecretID } = (await consul.call('/acl/token', { method: 'PUT', body })) as { SecretID: string }
    await using reporting = await start(SecretID)
    const registered = async () =>
      ((await consul.call('/health/service/reporting?passing', { token: SecretID })) as Entry[]).map(
        ({ Service }) => Service.Port,
      )
    await eventually(async () => expect(await registered()).toEqual([Number(new URL(reporting.url).port)]))
    await expect(
      consul.call('/agent/service/register', { method: 'PUT', token: SecretID, body: { Name: 'other' } }),
    ).rejects.toThrow('403')
    await expect(consul.call('/kv/secret', { method: 'PUT', token: SecretID, body: 'x' })).rejects.toThrow('403')
    await reporting.signal('SIGTERM')
    expect(await registered()).toEqual([])
  })
})

type Entry = { Service: { ID: string; Address: string; Port: number; Tags: string[] }; Checks: object[] }

/** Plays without a sleep, four at a time, and keeps what was not answered as it should be. */
function startLoad(edge: ServiceProcess) {
  const stopped = new AbortController()
  const failures: unknown[] = []
  let answered = 0
  let slowest = 0
  async function player(user: string): Promise<void> {
    while (!stopped.signal.aborted) {
      const started = performance.now()
      const { status, body } = await play(edge.url, '456', user)
      if (status !== 200 || (body as { degraded?: string[] }).degraded) failures.push({ status, body })
      answered += 1
      slowest = Math.max(slowest, performance.now() - started)
    }
  }
  const players = Promise.all(['a', 'b', 'c', 'd'].map(player))
  return {
    failures,
    slowestMs: () => slowest,
    async more(plays: number) {
      const goal = answered + plays
      await eventually(() => expect(answered).toBeGreaterThan(goal), 20_000)
    },
    async [Symbol.asyncDispose]() {
      stopped.abort()
      await players
    },
  }
}
