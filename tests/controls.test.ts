import { existsSync, readFileSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tokenFileOf } from '../scripts/start/controls/token-file.ts'
import { readProcessState } from '../scripts/start/process-state.ts'
import { Audit } from '../shared/contracts/audit.ts'
import type { ControlledProcess, Controls } from '../shared/contracts/controls.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion, pathWithNats } from './harness/nats-server.ts'
import { npmStart, type Started, tokenOf } from './harness/npm-start.ts'
import { getJson, play, views, warmUp } from './harness/plays.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const TRUSTED = 'https://trusted.example'
const ALIAS = 'edge.example'

type Headers = Record<string, string>

function createClient(system: Started) {
  const authorization = `Bearer ${tokenOf(system)}`
  const { url } = system.play
  const send = async (method: 'GET' | 'POST', path: string, headers: Headers = { authorization }) => {
    const { statusCode, body } = await request(`${url}${path}`, { method, headers })
    return { status: statusCode, body: (await body.json()) as Record<string, unknown> }
  }
  const read = async () => (await send('GET', '/controls')).body as unknown as Controls
  return {
    authorization,
    send,
    read,
    post: (path: string, headers?: Headers) => send('POST', `/controls/${path}`, headers),
    async process(name: string): Promise<ControlledProcess> {
      const found = (await read()).processes.find((one) => one.name === name)
      if (!found) throw new Error(`there is no process ${name}`)
      return found
    },
  }
}

describe.skipIf(!natsVersion)('the controls of npm start', () => {
  const stack = new AsyncDisposableStack()
  let system: Started
  let dataDir: string
  let controls: ReturnType<typeof createClient>
  beforeAll(async () => {
    dataDir = stack.use(await createTempDirectory('controls')).path
    const env = { DATA_DIR: dataDir, CORS_ORIGINS: TRUSTED, ALLOWED_HOSTS: ALIAS, LOG_LEVEL: 'debug' }
    system = stack.use(await npmStart({ PATH: pathWithNats, ...env }))
    await warmUp(system.play.url)
    controls = createClient(system)
  })
  afterAll(() => stack.disposeAsync())

  test('need the token: without it, nothing is shown and nothing happens', async () => {
    const { pid } = await controls.process('metadata')
    for (const headers of [{}, { authorization: `Bearer ${'a'.repeat(43)}` }, { authorization: 'Bearer ' }]) {
      const locked = await controls.send('GET', '/controls', headers)
      expect(locked).toMatchObject({ status: 200, body: { state: 'locked', processes: [], can: [] } })
      for (const path of ['metadata/kill', 'seed', 'nobody/kill']) {
        expect((await controls.post(path, headers)).status).toBe(401)
      }
    }
    expect((await controls.process('metadata')).pid).toBe(pid)
  })

  test('refuse pages from other origins, other host names, and requests through a proxy, even with the token', async () => {
    const { pid } = await controls.process('metadata')
    const { authorization } = controls
    const foreign: Headers[] = [
      { 'sec-fetch-site': 'cross-site', origin: TRUSTED },
      { 'sec-fetch-site': 'same-site', origin: 'http://localhost:1' },
      { origin: TRUSTED },
      { host: `${ALIAS}:80` },
      { host: `${ALIAS}:80`, origin: `http://${ALIAS}:80`, 'sec-fetch-site': 'same-origin' },
      { 'x-forwarded-for': '127.0.0.1' },
      { 'x-forwarded-for': '' },
      { forwarded: 'for=127.0.0.1' },
    ]
    for (const headers of foreign) {
      expect([headers, (await controls.post('metadata/kill', { authorization, ...headers })).status]).toEqual([
        headers,
        403,
      ])
    }
    const remote = await controls.send('GET', '/controls', { authorization, host: ALIAS })
    expect(remote.body).toMatchObject({
      state: 'off',
      reason: expect.stringContaining('on the machine'),
      processes: [],
    })
    expect((await controls.process('metadata')).pid).toBe(pid)
  })

  test('kill a process, keep it down for the given time, and show the state of its replacement', async () => {
    const before = await controls.process('metadata')
    const killed = await controls.post('metadata/kill?seconds=3')
    expect(killed).toMatchObject({ status: 200, body: { process: { state: 'down', pid: null } } })
    expect(await readProcessState(before.pid ?? 0)).toBe('down')
    expect((await controls.post('metadata/kill')).status).toBe(409)
    expect((await controls.process('metadata')).until).not.toBe(null)
    await eventually(async () => {
      const after = await controls.process('metadata')
      expect(after).toMatchObject({ state: 'running', lastExit: 'SIGKILL', until: null, starts: before.starts + 1 })
    })
  })

  test('restart a process immediately, even if a control keeps it down', async () => {
    await controls.post('cdnurl/kill?seconds=60')
    expect(await controls.post('cdnurl/restart')).toMatchObject({ body: { process: { state: 'running', starts: 2 } } })
    // Wait until cdnurl listens, because it does not handle SIGTERM before that.
    await eventually(() => fetch(`${system.cdnurl.url}/healthz`))
    expect(await controls.post('cdnurl/restart')).toMatchObject({
      body: { process: { state: 'running', starts: 3, lastExit: 'status 0' } },
    })
  })

  test('suspend and resume a process, even one that was suspended in a terminal', async () => {
    const { pid } = await controls.process('reporting')
    expect(await controls.post('reporting/hang')).toMatchObject({ body: { process: { state: 'hung', pid } } })
    expect(await readProcessState(pid ?? 0)).toBe('hung')
    expect(await controls.post('reporting/continue')).toMatchObject({ body: { process: { state: 'running', pid } } })
    process.kill(pid ?? 0, 'SIGSTOP')
    await eventually(async () => expect((await controls.process('reporting')).state).toBe('hung'))
    await controls.post('reporting/continue')
    expect(await readProcessState(pid ?? 0)).toBe('running')
  })

  test('suspend a process for the given time, after which it resumes by itself', async () => {
    const { pid } = await controls.process('reporting')
    const hung = await controls.post('reporting/hang?seconds=1')
    expect(hung).toMatchObject({ status: 200, body: { process: { state: 'hung', pid } } })
    await eventually(async () => {
      expect(await controls.process('reporting')).toMatchObject({ state: 'running', pid })
      expect(await readProcessState(pid ?? 0)).toBe('running')
    })
  })

  test('kill the edge that forwards the request, but only after the response is sent', async () => {
    const { starts } = await controls.process('play')
    expect((await controls.post('play/kill')).status).toBe(202)
    await eventually(async () =>
      expect(await controls.process('play')).toMatchObject({ state: 'running', starts: starts + 1 }),
    )
    await warmUp(system.play.url)
  })

  test('run npm run seed and npm run simulate, and report their outcome', async () => {
    expect((await controls.post('seed')).status).toBe(202)
    const commandOf = async (name: string) => (await controls.read()).commands[name]
    await eventually(async () =>
      expect(await commandOf('seed')).toEqual({
        command: `npm run seed -- --port ${system.edgePort}`,
        state: 'done',
        line: 'metadata: 26 assets stored',
      }),
    )
    expect((await controls.post('simulate?rate=10&seconds=300')).status).toBe(202)
    expect((await controls.post('simulate?rate=10&seconds=1')).status).toBe(409)
    expect(await commandOf('simulate')).toMatchObject({
      command: `npm run simulate -- --port ${system.edgePort} --rate 10 --views 3000`,
      state: 'running',
    })
    await eventually(async () => {
      const { audit } = (await getJson(`${system.play.url}/status`)) as { audit: { views: number } | null }
      expect(audit?.views).toBeGreaterThan(20)
    })
    await controls.post('simulate/stop')
    await eventually(async () => expect((await commandOf('simulate'))?.state).toBe('done'))
    for (const invalid of ['rate=0', 'rate=201', 'seconds=301', 'rate=x']) {
      expect((await controls.post(`simulate?${invalid}`)).status).toBe(400)
    }
  })

  test("request a play's expired URL, which the CDN refuses, and publish a message that becomes a dead letter", async () => {
    const { body } = await play(system.play.url, 'trip-to-the-moon-1902', '8')
    const { url } = body as { url: string }
    const expired = await controls.post(`expire?url=${encodeURIComponent(url)}`)
    expect(expired).toMatchObject({ status: 200, body: { status: 410, statusBefore: 200 } })
    for (const other of ['http://127.0.0.1:1/a/b/c/d', `${system.cdn}/a`, 'file:///etc/passwd']) {
      expect((await controls.post(`expire?url=${encodeURIComponent(other)}`)).status).toBe(409)
    }
    const { body: poison } = await controls.post('poison')
    await eventually(async () => {
      const page = await getJson(`${system['queue-listener'].url}/dead-letters`)
      expect(page).toMatchObject({ deadLetters: [{ sequence: poison.sequence }] })
    })
  })

  test('replay the whole log so that it is recounted, and restore the previous counts', async () => {
    // The last play, which the previous test sent, must be counted first.
    await eventually(async () => expect(await views(system.reporting.url, 'user', '8')).toBe(1))
    const before = Audit.parse(await getJson(`${system.reporting.url}/events/audit`))
    for (const action of ['replay', 'restore', 'keep']) {
      const { starts } = await controls.process('reporting')
      expect((await controls.post(`reporting/${action}`)).status).toBe(200)
      if (action !== 'keep')
        await eventually(async () => expect((await controls.process('reporting')).starts).toBe(starts + 1))
      await eventually(async () => {
        const after = Audit.parse(await getJson(`${system.reporting.url}/events/audit`))
        expect({ ...after, waiting: 0 }).toEqual({ ...before, waiting: 0 })
      })
    }
    expect((await controls.post('metadata/replay')).status).toBe(404)
  })

  test('refuse unknown processes and actions', async () => {
    expect((await controls.post('nobody/kill')).status).toBe(404)
    expect((await controls.post('metadata/explode')).status).toBe(409)
    expect((await controls.post('metadata/kill?seconds=61')).status).toBe(400)
    expect((await controls.post('metadata/hang?seconds=-1')).status).toBe(400)
  })

  test('keep the token in a file that only its owner may read, and never in log lines, arguments or environment variables', async () => {
    const token = tokenOf(system)
    const file = tokenFileOf(dataDir, system.edgePort)
    expect(readFileSync(file, 'utf8').trim()).toBe(token)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(system.child.lines.filter((line) => line.startsWith('{') && line.includes(token))).toEqual([])
    const pids = [system.child.pid, ...(await controls.read()).processes.map(({ pid }) => pid ?? 0)]
    if (process.platform !== 'linux') return
    for (const pid of pids) {
      for (const name of ['cmdline', 'environ']) {
        expect(readFileSync(`/proc/${pid}/${name}`, 'utf8')).not.toContain(token)
      }
    }
  })
})

describe('a killed npm start', () => {
  test('leaves a directory and a token file; the next npm start removes them, but keeps the files of an instance that is still running', async () => {
    await using temp = await createTempDirectory('tmp')
    await using data = await createTempDirectory('data')
    const start = (name: string) => npmStart({ PATH: '', TMPDIR: temp.path, DATA_DIR: join(data.path, name) })
    const directories = async () => (await readdir(temp.path)).filter((name) => name.startsWith('video-edge-'))
    const hasToken = (name: string, { edgePort }: Started) => existsSync(tokenFileOf(join(data.path, name), edgePort))

    await using killed = await start('killed')
    await using running = await start('running')
    await killed.child.signal('SIGKILL')
    expect(await directories()).toHaveLength(2)
    expect(hasToken('killed', killed)).toBe(true)

    await using _next = await start('next')
    expect(await directories()).toHaveLength(2)
    expect(hasToken('killed', killed)).toBe(false)
    expect(hasToken('running', running)).toBe(true)
    expect(await createClient(running).post('prefetch')).toMatchObject({ status: 400 })
  })
})

describe('in embedded mode,', () => {
  test('there is nothing to kill, and the response says why', async () => {
    await using system = await npmStart({ PATH: '' })
    const controls = createClient(system)
    expect(await controls.read()).toMatchObject({
      state: 'off',
      reason: expect.stringContaining('share one process'),
      can: expect.not.arrayContaining(['kill']),
      processes: [],
    })
    const refused = await controls.post('embedded/kill')
    expect(refused).toMatchObject({
      status: 409,
      body: { errors: [{ message: expect.stringContaining('nothing to kill') }] },
    })
    expect(await getJson(`${system.play.url}/status`)).toMatchObject({ status: 'ready' })
  })

  test('beyond loopback, npm start has no controls', async () => {
    await using system = await npmStart({ PATH: '', HOST: '0.0.0.0', ALLOW_OPEN_WRITES: '1' })
    expect(system.child.lines.filter((line) => line.includes('#controls='))).toEqual([])
    expect(await getJson(`${system.play.url}/controls`)).toMatchObject({ state: 'off', can: [] })
    const response = await fetch(`${system.play.url}/controls/embedded/kill`, { method: 'POST' })
    expect(response.status).toBe(404)
  })
})
