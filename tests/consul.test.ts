import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ServiceName, serviceEntries } from '../services.ts'
import { type ConsulAgent, hasConsul, startConsulAgent } from './harness/consul-agent.ts'
import { mapServices, serviceNames } from './harness/each-service.ts'
import { eventually } from './harness/eventually.ts'
import { type NatsServer, natsVersion, startNatsServer } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { pausedTime, repeatAfterPause, runningTime } from './harness/running-time.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'

/** An unused address, so that upstreams are found only through Consul. */
const NOWHERE = 'http://127.0.0.1:9'

/** Only a notification makes discovery this fast. Otherwise, a health check or a retry finds an instance after 2 s. */
const FOUND_MS = 1_000

const nowhere = Object.fromEntries(serviceEntries.map(({ urlSetting }) => [urlSetting, NOWHERE]))

describe.skipIf(!natsVersion || !hasConsul)('with Consul,', () => {
  const stack = new AsyncDisposableStack()
  let consul: ConsulAgent
  let nats: NatsServer
  let env: Record<string, string>
  let services: Record<ServiceName, ServiceProcess>

  beforeAll(async () => {
    consul = stack.use(await startConsulAgent())
    nats = stack.use(await startNatsServer())
    env = {
      ...nowhere,
      NATS_URL: nats.url,
      CONSUL_HTTP_ADDR: consul.address,
      // Makes each play call metadata and cdnurl, so that changes take effect immediately.
      CATALOGUE_TTL: '1ms',
    }
    services = await mapServices(async (name) => stack.use(await startService(name, env)))
    await expectCompletePlay()
  })
  afterAll(() => stack.disposeAsync())

  const playOnce = () => play(services.play.url, '456', 'someone')
  const expectCompletePlay = () =>
    eventually(async () => {
      const { status, body } = await playOnce()
      expect({ status, body }).toMatchObject({ status: 200, body: { title: 'Terminator' } })
      expect(body).not.toHaveProperty('degraded')
    })
  const registered = async (service: string, filter = '') => {
    const entries = (await consul.call(`/health/service/${service}${filter}`)) as Entry[]
    return entries.map(({ Service }) => `http://${Service.Address}:${Service.Port}`)
  }
  const healthy = (service: string) => registered(service, '?passing')

  const assetRequests = ({ url }: ServiceProcess) =>
    metric(url, /^http_server_request_duration_seconds_count\{.*\/content\/asset\/:assetId/)

  test('every service is registered with its address, port and version, and a health check on /readyz', async () => {
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

  test('with --port 0, the actual port is registered', async () => {
    await using other = await startService('metadata', env, 0)
    expect(new URL(other.url).port).not.toBe('0')
    await eventually(async () => expect(await healthy('metadata')).toContain(other.url))
  })

  test('an instance is registered with its ADVERTISE_HOST', async () => {
    await using other = await startService('reporting', {
      ...env,
      HOST: '0.0.0.0',
      ADVERTISE_HOST: 'localhost',
      ALLOW_OPEN_WRITES: '1',
    })
    const advertised = `http://localhost:${new URL(other.url).port}`
    await eventually(async () => expect(await healthy('reporting')).toContain(advertised))
  })

  test('plays are served and counted by services that are found through Consul', async () => {
    const before = await views(services.reporting.url, 'user', 'found')
    expect(await play(services.play.url, '456', 'found')).toMatchObject({
      status: 200,
      body: { userviews: before + 1 },
    })
    await eventually(async () => expect(await views(services.reporting.url, 'user', 'found')).toBe(before + 1))
  })

  test("every service reports Consul's state", async () => {
    for (const { url } of Object.values(services)) {
      expect(await getJson(`${url}/readyz`)).toMatchObject({ dependencies: { consul: 'up' } })
    }
  })

  test('the load is balanced across two instances', async () => {
    await using second = await startService('metadata', env)
    await eventually(async () => expect(await healthy('metadata')).toHaveLength(2))
    await using _load = startLoad(services.play)
    await eventually(async () => expect(await assetRequests(second)).toBeGreaterThan(0))
    const instances = [services.metadata, second]
    const requests = () => Promise.all(instances.map(assetRequests))
    const before = await requests()
    const shares = await eventually(async () => {
      const found = (await requests()).map((count, index) => count - Number(before[index]))
      expect(found.reduce((sum, share) => sum + share)).toBeGreaterThan(100)
      return found
    })
    expect(Math.min(...shares)).toBeGreaterThan(20)
  })

  test('no play fails when one of two instances is killed under load', async () => {
    await using second = await startService('metadata', env)
    await using load = startLoad(services.play)
    await eventually(async () => expect(await healthy('metadata')).toHaveLength(2))
    await eventually(async () => expect(await assetRequests(second)).toBeGreaterThan(20))
    await second.signal('SIGKILL')
    await load.more(500)
    expect(load.failures).toEqual([])
  })

  test('every play succeeds in less than a second when one of two instances hangs under load', async () => {
    await using second = await startService('metadata', env)
    await using load = startLoad(services.play)
    await eventually(async () => expect(await healthy('metadata')).toHaveLength(2))
    await eventually(async () => expect(await assetRequests(second)).toBeGreaterThan(20))
    await second.signal('SIGSTOP')
    await load.more(500)
    expect(load.failures).toEqual([])
    expect(load.slowestMs()).toBeLessThan(1_000)
  })

  test('no play fails when an instance moves to another port', async () => {
    await using load = startLoad(services.play)
    await load.more(50)
    const moved = stack.use(await startService('metadata', env))
    await eventually(async () => expect(await healthy('metadata')).toContain(moved.url), FOUND_MS)
    await services.metadata.signal('SIGTERM')
    expect(await services.metadata.ended()).toBe(0)
    services.metadata = moved
    expect(await healthy('metadata')).toEqual([moved.url])
    await load.more(200)
    expect(load.failures).toEqual([])
  })

  test('a killed instance that restarts on another port is found within a second', async () => {
    await repeatAfterPause(async () => {
      await services.metadata.signal('SIGKILL')
      await eventually(async () => expect((await playOnce()).body).toMatchObject({ degraded: ['metadata'] }))
      services.metadata = stack.use(await startService('metadata', env))
      await eventually(async () => expect((await playOnce()).body).not.toHaveProperty('degraded'), FOUND_MS)
    })
  })

  test('plays continue while the agent is down, and all services re-register after it restarts without data', async () => {
    await consul.signal('SIGKILL')
    await eventually(async () =>
      expect(await getJson(`${services.play.url}/readyz`)).toMatchObject({ dependencies: { consul: 'down' } }),
    )
    expect((await fetch(`${services.play.url}/readyz`)).status).toBe(200)
    for (let count = 0; count < 20; count += 1) expect((await playOnce()).body).not.toHaveProperty('degraded')
    expect(services.play.lines().filter((line) => line.includes('Consul is unavailable'))).toHaveLength(1)

    await consul.start()
    await using load = startLoad(services.play)
    for (const [name, { url }] of Object.entries(services)) {
      await eventually(async () => expect(await healthy(name)).toEqual([url]))
    }
    await eventually(async () =>
      expect(await getJson(`${services.play.url}/readyz`)).toMatchObject({ dependencies: { consul: 'up' } }),
    )
    await load.more(1)
    expect(load.failures).toEqual([])
  })

  test('an instance that moves after the agent restarts is found too', async () => {
    const moved = stack.use(await startService('cdnurl', env))
    await services.cdnurl.signal('SIGTERM')
    services.cdnurl = moved
    await expectCompletePlay()
  })

  test('a service deregisters before it shuts down', async () => {
    await using other = await startService('cdnurl', env)
    await eventually(async () => expect(await healthy('cdnurl')).toContain(other.url))
    await using slow = await startSlowRequest(other.url)
    const ending = other.signal('SIGTERM')
    // The instance is deregistered before the grace period for the request in flight ends.
    await eventually(async () => expect(await registered('cdnurl')).not.toContain(other.url), 2_000)
    expect(slow.isOpen()).toBe(true)
    await slow[Symbol.asyncDispose]()
    await ending
    expect(await other.ended()).toBe(0)
  })

  test('the agent can be reached through its Unix socket', async () => {
    await using other = await startService('reporting', { ...env, CONSUL_HTTP_ADDR: `unix://${consul.socket}` })
    await eventually(async () => expect(await healthy('reporting')).toContain(other.url))
  })
})

describe.skipIf(!hasConsul)('with Consul ACLs,', () => {
  const managementToken = '11111111-1111-4111-8111-111111111111'
  let consul: ConsulAgent
  beforeAll(async () => {
    consul = await startConsulAgent({ managementToken })
  })
  afterAll(() => consul?.[Symbol.asyncDispose]())

  const start = (CONSUL_HTTP_TOKEN: string) =>
    startService('reporting', { CONSUL_HTTP_ADDR: consul.address, CONSUL_HTTP_TOKEN })

  test.each(['', '22222222-2222-4222-8222-222222222222'])(
    'a service with the unusable token %j works without Consul, and logs the reason once',
    async (token) => {
      await using service = await start(token)
      await eventually(async () =>
        expect(await getJson(`${service.url}/readyz`)).toMatchObject({
          status: 'ready',
          dependencies: { consul: 'down' },
        }),
      )
      expect((await fetch(`${service.url}/events/top`)).status).toBe(200)
      const warnings = service.lines().filter((line) => line.includes('"level":40'))
      expect(warnings).toHaveLength(1)
      expect(warnings[0]).toMatch(/Permission denied|ACL not found/)
      expect(service.lines().join('\n')).not.toContain('22222222')
    },
  )

  /** Creates a token with one service's policy. */
  async function createToken(service: ServiceName): Promise<string> {
    const Rules = (await readFile('deploy/consul-policy.hcl', 'utf8')).replaceAll('SERVICE', service)
    const Name = `video-edge-${service}`
    await eventually(() => consul.call('/acl/policy', { method: 'PUT', body: { Name, Rules } }))
    const body = { Policies: [{ Name }] }
    return ((await consul.call('/acl/token', { method: 'PUT', body })) as { SecretID: string }).SecretID
  }

  test('Consul rejects the policy if a rule is misspelt', async () => {
    const rules = await readFile('deploy/consul-policy.hcl', 'utf8')
    const create = (Name: string, Rules: string) => consul.call('/acl/policy', { method: 'PUT', body: { Name, Rules } })
    await eventually(() => create('as-it-is', rules))
    await expect(create('misspelt', rules.replace('policy = "write"', 'polcy = "write"'))).rejects.toThrow('Invalid')
  })

  test('the policy in deploy/consul-policy.hcl allows a service to register itself and to find others, and nothing else', async () => {
    const SecretID = await createToken('reporting')
    await using reporting = await start(SecretID)
    const registeredPorts = async () =>
      ((await consul.call('/health/service/reporting?passing', { token: SecretID })) as Entry[]).map(
        ({ Service }) => Service.Port,
      )
    await eventually(async () => expect(await registeredPorts()).toEqual([Number(new URL(reporting.url).port)]))
    const register = (Name: string) =>
      consul.call('/agent/service/register', { method: 'PUT', token: SecretID, body: { Name, ID: 'impostor' } })
    const others = serviceNames.filter((name) => name !== 'reporting')
    for (const name of ['other', 'SERVICE', ...others]) await expect(register(name)).rejects.toThrow('403')
    for (const name of others) {
      await consul.call('/agent/service/register', { method: 'PUT', body: { Name: name } })
      expect(await consul.call(`/health/service/${name}?passing`, { token: SecretID })).toHaveLength(1)
    }
    await expect(consul.call('/kv/secret', { method: 'PUT', token: SecretID, body: 'x' })).rejects.toThrow('403')
    await reporting.signal('SIGTERM')
    expect(await registeredPorts()).toEqual([])
  })
})

type Entry = { Service: { ID: string; Address: string; Port: number; Tags: string[] }; Checks: object[] }

/** Starts a request whose body never ends, and waits until the service has received its headers. */
async function startSlowRequest(origin: string): Promise<AsyncDisposable & { isOpen: () => boolean }> {
  const { hostname, port } = new URL(origin)
  const socket = connect(Number(port), hostname).on('error', () => {})
  socket.write(
    'POST /url/asset/slow HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n' +
      'content-length: 100\r\nexpect: 100-continue\r\n\r\n',
  )
  const [response] = await once(socket, 'data')
  expect(String(response)).toContain('100 Continue')
  return {
    isOpen: () => !socket.closed && !socket.readableEnded,
    async [Symbol.asyncDispose]() {
      if (!socket.closed) await once(socket.destroy(), 'close')
    },
  }
}

/** Shorter pauses cause no failures, because an attempt times out only after 150 ms while two instances are up. */
const LONG_PAUSE_MS = 50

/** After a long pause, circuit breakers may stay open, and instances ejected, for this long. */
const RECOVERY_MS = 1_500

/** Plays continuously, four at a time, and collects failed and degraded plays, except those due to a long pause. */
function startLoad(edge: ServiceProcess) {
  const stopped = new AbortController()
  const failures: unknown[] = []
  let finished = 0
  let slowest = 0
  let recoveredAt = 0
  async function player(user: string): Promise<void> {
    while (!stopped.signal.aborted) {
      const [startedAt, pausedBefore] = [runningTime(), pausedTime()]
      const { status, body } = await play(edge.url, '456', user)
      slowest = Math.max(slowest, runningTime() - startedAt)
      if (pausedTime() - pausedBefore > LONG_PAUSE_MS) recoveredAt = runningTime() + RECOVERY_MS
      if (runningTime() < recoveredAt) continue
      if (status !== 200 || (body as { degraded?: string[] }).degraded) failures.push({ status, body })
      finished += 1
    }
  }
  const players = Promise.all(['a', 'b', 'c', 'd'].map(player))
  return {
    failures,
    slowestMs: () => slowest,
    /** Resolves after `plays` more plays, not counting those that a long pause may have affected. */
    async more(plays: number) {
      const goal = finished + plays
      await eventually(() => expect(finished).toBeGreaterThan(goal))
    },
    async [Symbol.asyncDispose]() {
      stopped.abort()
      await players
    },
  }
}
