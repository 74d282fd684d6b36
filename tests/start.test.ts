import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isFree } from '../scripts/start/free-port.ts'
import type { ServiceName } from '../services.ts'
import { isAtLeast, REPLICATING_VERSION } from '../shared/nats/server-version.ts'
import { toOrigin } from '../shared/runtime/origin.ts'
import { type Child, startChild } from './harness/child.ts'
import { hasConsul } from './harness/consul-agent.ts'
import { serviceNames } from './harness/each-service.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion, pathWithNats, startNatsServer } from './harness/nats-server.ts'
import { expectCounted, startPlayers, sum } from './harness/players.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { freePortRange, freePorts, portNextTo } from './harness/ports.ts'
import { metricOfAll, metricsOfEach } from './harness/shared-port.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const isReplicating = natsVersion !== undefined && isAtLeast(natsVersion, REPLICATING_VERSION)

/** The offsets of the NATS port and the CDN edge port from play's port. */
const NATS_OFFSET = 4222 - 8080
const CDN_OFFSET = 5

describe('npm start', () => {
  let directory: Awaited<ReturnType<typeof createTempDirectory>>
  let edgePort: number
  beforeEach(async () => {
    directory = await createTempDirectory('start')
    edgePort = await freePortRange()
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  const urlOf = (name: ServiceName) => toOrigin('127.0.0.1', portNextTo(edgePort, name))

  const start = (env: Record<string, string> = {}, args: string[] = []) =>
    startChild(process.execPath, ['scripts/start/main.ts', '--port', String(edgePort), ...args], {
      env: { DATA_DIR: directory.path, NATS_URL: '', PATH: pathWithNats, ...env },
    })

  const expectCountedPlays = async () => {
    for (const count of [1, 2]) {
      const { body } = await play(urlOf('play'), '456', '8')
      expect(body).toMatchObject({ title: 'Terminator', userviews: count })
      await eventually(async () => expect(await views(urlOf('reporting'), 'user', '8')).toBe(count))
    }
  }

  test.skipIf(!natsVersion)(
    'starts a process per service, restarts a service that dies, and exits with status 0 on SIGINT',
    async () => {
      await using child = start()
      await says(child, /^npm start: starting one process per service, with nats-server/)
      await says(child, new RegExp(`^Try: curl -X POST localhost:${edgePort}/play/asset/456/user/8$`))
      await says(child, new RegExp(`^See: http://localhost:${edgePort}/$`))
      await expectCountedPlays()
      await eventually(async () => expect(await getJson(`${urlOf('play')}/status`)).toMatchObject({ status: 'ready' }))

      process.kill(await pidOfService(child, 'reporting'), 'SIGKILL')
      await says(
        child,
        /^npm start: reporting exited \(SIGKILL\); restarting in [\d.]+ s; the other processes keep running$/,
      )
      await eventually(async () => expect(await views(urlOf('reporting'), 'user', '8')).toBe(2))

      await child.signal('SIGINT')
      expect(await child.ended).toBe(0)
      await expect(play(urlOf('play'), '456', '8')).rejects.toThrow()
    },
  )

  test.runIf(isReplicating)('--cluster starts three NATS servers, which replicate the log', async () => {
    await using child = start({}, ['--cluster'])
    await says(child, /^npm start: starting one process per service, .* as a cluster of 3 servers$/)
    await says(child, /^Try: curl/)
    await expectCountedPlays()
    const replicas = () => metric(urlOf('queue-listener'), /^event_log_replicas{kind="online"} /)
    await eventually(async () => expect(await replicas()).toBe(3))
    expect((await readdir(directory.path)).filter((name) => name.startsWith('nats'))).toEqual([
      'nats-1',
      'nats-2',
      'nats-3',
    ])
    await child.signal('SIGINT')
    expect(await child.ended).toBe(0)
  })

  test('--cluster without servers that can form a safe cluster is refused with status 2', async () => {
    const refused = async (env: Record<string, string>, reason: RegExp) => {
      await using child = start(env, ['--cluster'])
      await says(child, reason)
      expect(await child.ended).toBe(2)
    }
    await refused({ PATH: '' }, /^npm start: --cluster needs nats-server 2\.10 or later, but .* is not on the PATH$/)
    await refused({ NATS_URL: 'nats://127.0.0.1:4222' }, /^npm start: --cluster starts its own .*: unset NATS_URL$/)
    if (natsVersion && !isReplicating) {
      await refused({}, new RegExp(`^npm start: --cluster needs .*, but nats-server on the PATH is ${natsVersion}$`))
    }
  })

  test.for([
    { mode: 'with nats-server', path: pathWithNats, isSkipped: !natsVersion },
    { mode: 'in one process', path: '', isSkipped: false },
  ])('$mode, leaves no process behind when it is killed', async ({ path, isSkipped }, { skip }) => {
    skip(isSkipped)
    await using child = start({ PATH: path })
    await says(child, /^Try: curl/)
    const pids = childrenOf(child.pid)
    // The services, the CDN edge and NATS.
    expect(pids.length).toBe(path ? serviceNames.length + 2 : 1)
    const offsets = path ? [CDN_OFFSET, NATS_OFFSET] : [CDN_OFFSET]
    const ports = [...serviceNames.map((name) => portNextTo(edgePort, name)), ...offsets.map((n) => edgePort + n)]
    try {
      await child.signal('SIGKILL')
      await eventually(async () => expect(await Promise.all(ports.map((port) => isFree(port)))).not.toContain(false))
      await eventually(() => expect(pids.filter(isRunning)).toEqual([]))
    } finally {
      for (const pid of pids) endIfRunning(pid)
    }
  })

  test.skipIf(!natsVersion)(
    'with --plays 2, shares the port between two processes, and counts every play with a 200 once even if one of them is killed while NATS is down',
    async () => {
      await using nats = await startNatsServer()
      await using child = start({ NATS_URL: nats.url }, ['--plays', '2'])
      await says(child, /^Try: curl/)
      const pids = await Promise.all(['play-1', 'play-2'].map((name) => pidOfService(child, name)))
      const processes = await metricsOfEach(urlOf('play'), 2)
      expect([...processes.keys()].toSorted()).toEqual(pids.toSorted())

      // The kernel distributes the connections between the processes. With this many players, each process gets some.
      const players = startPlayers(urlOf('play'), { count: 32, seed: 1 })
      await nats.signal('SIGKILL')
      await eventually(async () => {
        for (const metrics of (await metricsOfEach(urlOf('play'), 2)).values())
          expect(metrics).toMatch(/^outbox_waiting_views [1-9]/m)
      })
      process.kill(pids[0] ?? 0, 'SIGKILL')
      await says(child, /^npm start: play-1 exited \(SIGKILL\)/)
      await nats.start()
      await eventually(async () => expect(await metricOfAll(urlOf('play'), 2, /^outbox_waiting_views /)).toBe(0))
      const outcomes = await players.stop()
      expect(sum(outcomes.users).served).toBeGreaterThan(20)
      await eventually(() => expectCounted(urlOf('reporting'), 'user', outcomes.users))
      await expectCounted(urlOf('reporting'), 'asset', outcomes.assets)
      await child.signal('SIGINT')
      expect(await child.ended).toBe(0)
    },
  )

  test.skipIf(!natsVersion)('with --plays 2 and OPS_PORT, gives each process an operations port', async () => {
    await using nats = await startNatsServer()
    const opsPort = await freePorts(2)
    await using child = start({ NATS_URL: nats.url, OPS_PORT: String(opsPort) }, ['--plays', '2'])
    await says(child, /^Try: curl/)
    expect(child.lines).toContain(`See: http://localhost:${opsPort}/`)
    const pids = await Promise.all(['play-1', 'play-2'].map((name) => pidOfService(child, name)))
    const ofOperations = [opsPort, opsPort + 1].map((port) => metric(`http://127.0.0.1:${port}`, /^process_pid /))
    expect(await Promise.all(ofOperations)).toEqual(pids)
    expect((await fetch(`${urlOf('play')}/metrics`)).status).toBe(404)
  })

  test('--plays without nats-server exits with one line about what is missing', async () => {
    await using child = start({ PATH: '' }, ['--plays', '2'])
    expect(await child.ended).toBe(1)
    expect(child.lines).toEqual([expect.stringMatching(/nats-server is not on the PATH; .*--plays does not apply/)])
  })

  test.each(['0', '65', 'two'])('--plays %j exits with status 2', async (plays) => {
    await using child = start({}, ['--plays', plays])
    expect(await child.ended).toBe(2)
    expect(child.lines).toEqual([`npm start: --plays is "${plays}": it must be a whole number, 1 to 64`])
  })

  test.skipIf(!natsVersion || !hasConsul)(
    'with --consul, also starts a Consul agent and a second metadata instance',
    async () => {
      await using child = start({}, ['--consul'])
      await says(child, new RegExp(`^ {2}Consul +http://localhost:${edgePort + 420}/ui$`))
      await expectCountedPlays()
      await child.signal('SIGINT')
      expect(await child.ended).toBe(0)
    },
  )

  test('--consul without nats-server exits with one line about what is missing', async () => {
    await using child = start({ PATH: '' }, ['--consul'])
    expect(await child.ended).toBe(1)
    expect(child.lines).toEqual([expect.stringContaining('nats-server is not on the PATH')])
  })

  test('without nats-server, starts all services in one process and prints how to install NATS', async () => {
    await using child = start({ PATH: '' })
    await says(child, /^npm start: starting all services in one process, without NATS$/)
    await says(child, /^For the full system, install NATS/)
    await says(child, /^Try: curl/)
    await expectCountedPlays()
    await child.signal('SIGTERM')
    expect(await child.ended).toBe(0)
  })

  test('stops everything when its output is closed, as when a terminal closes', async () => {
    // The empty PATH hides nats-server, so all services run in one process (embedded mode).
    const child = spawn(process.execPath, ['scripts/start/main.ts', '--port', String(edgePort)], {
      env: { ...process.env, PATH: '', DATA_DIR: directory.path, NATS_URL: '', LOG_LEVEL: 'debug' },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const ended = once(child, 'close')
    const pids = new Set<number>()
    try {
      for await (const line of createInterface({ input: child.stdout })) {
        if (line.startsWith('{')) pids.add(JSON.parse(line).pid)
        if (line.startsWith('Try:')) break
      }
      expect((await fetch(`${urlOf('metadata')}/healthz`)).status).toBe(200)
      expect(pids.size).toBe(1)
      child.stdout.destroy()
      // Each request causes a log line, which the supervisor fails to write.
      const requests = eventually(() => expect(fetch(`${urlOf('metadata')}/content/asset/456`)).rejects.toThrow())
      await Promise.all([ended, requests])
    } finally {
      child.kill('SIGKILL')
      for (const pid of pids) endIfRunning(pid)
    }
  })

  test('exits with one line that names the port if a port is in use', async () => {
    const server = createServer().listen(portNextTo(edgePort, 'cdnurl'), '127.0.0.1')
    await once(server, 'listening')
    await using child = start()
    expect(await child.ended).toBe(1)
    server.close()
    const port = portNextTo(edgePort, 'cdnurl')
    expect(child.lines).toEqual([expect.stringContaining(`port ${port}, which cdnurl needs, is already in use`)])
  })

  test.for([
    { mode: 'with nats-server', env: { PATH: pathWithNats }, isSkipped: !natsVersion },
    { mode: 'in one process', env: { PATH: '' }, isSkipped: false },
  ])(
    '$mode, refuses a DATA_DIR that another npm start uses, and does not disturb that instance',
    async ({ env, isSkipped }, { skip }) => {
      skip(isSkipped)
      await using first = start(env)
      await says(first, /^Try: curl/)
      const args = ['scripts/start/main.ts', '--port', String(await freePortRange())]
      const shared = { DATA_DIR: directory.path, ...env }
      await using second = startChild(process.execPath, args, { env: { NATS_URL: '', ...shared } })
      expect(await second.ended).toBe(1)
      const reason = `npm start: another npm start uses DATA_DIR ${directory.path}: set DATA_DIR to another directory`
      expect(second.lines).toEqual([reason])
      await expectCountedPlays()
    },
  )

  test.skipIf(!natsVersion)('may share a DATA_DIR with another npm start that uses the same NATS server', async () => {
    await using nats = await startNatsServer()
    await using first = start({ NATS_URL: nats.url, DATABASE_URL: '' })
    await says(first, /^Try: curl/)
    const args = ['scripts/start/main.ts', '--port', String(await freePortRange())]
    const env = { DATA_DIR: directory.path, NATS_URL: nats.url, PATH: pathWithNats }
    await using second = startChild(process.execPath, args, { env })
    await says(second, /^npm start: starting one process per service, with the NATS server at/)
    await says(second, /another process has locked .*: each reporting needs its own DATA_DIR/)
  })

  test.skipIf(!natsVersion).each(['127.0.0.2', '0.0.0.0'])(
    'with HOST=%s, the services find each other',
    async (HOST) => {
      await using child = start({ HOST, WRITE_TOKEN: 'a'.repeat(16) })
      const line = await says(child, /^Try: curl -X POST/)
      const edge = /POST (.*)\/play/.exec(line)?.[1] ?? ''
      expect(edge).toBe(`${HOST === '0.0.0.0' ? 'localhost' : HOST}:${edgePort}`)
      await eventually(async () =>
        expect((await play(`http://${edge}`, '456', '8')).body).toMatchObject({ userviews: 1 }),
      )
    },
  )

  test.each([
    ['0', 2, 'npm start: OPS_PORT is "0": npm start requires a fixed port'],
    ['play', 1, 'npm start: play and play (OPS_PORT) cannot both use port'],
  ])('refuses OPS_PORT=%s', async (port, status, reason) => {
    await using child = start({ PATH: '', OPS_PORT: port === 'play' ? String(edgePort) : port })
    expect(await child.ended).toBe(status)
    expect(child.lines.join('\n')).toContain(reason)
  })

  test('exits with status 2 if a setting is invalid', async () => {
    await using child = start({ CATALOGUE_TTL: 'soon', PATH: '' })
    expect(await child.ended).toBe(2)
    expect(child.lines.join('\n')).toContain('CATALOGUE_TTL is "soon": it must be a duration such as 500ms, 5s or 2m')
  })

  test.skipIf(!natsVersion)('reports only once a setting that is invalid for all services', async () => {
    await using child = start({ LOG_LEVEL: 'loud' })
    expect(await child.ended).toBe(2)
    expect(child.lines.filter((line) => line.includes('cannot start with these settings'))).toHaveLength(1)
  })

  test('exits with status 2 if a flag is unknown', async () => {
    await using child = start({}, ['--colour'])
    expect(await child.ended).toBe(2)
    expect(child.lines).toEqual([expect.stringContaining('--colour')])
  })
})

function says(child: Child, text: RegExp): Promise<string> {
  return child.line((line) => (text.test(line) ? line : undefined))
}

async function pidOfService(child: Child, name: string): Promise<number> {
  const line = await child.line((text) => (text.includes(`"name":"${name}"`) ? text : undefined))
  return JSON.parse(line).pid
}

function childrenOf(pid: number): number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  return stdout.trim().split(/\s+/).map(Number)
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function endIfRunning(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // The process has already exited.
  }
}
