import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EventBatch } from '../shared/contracts/event-batch.ts'
import type { Position } from '../shared/contracts/position.ts'
import { version } from '../shared/runtime/version.ts'
import { startChild } from './harness/child.ts'
import { hasConsul, startConsulAgent } from './harness/consul-agent.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion, startNatsServer } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { freePort, freePortRange } from './harness/ports.ts'
import { startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

const WRITE_TOKEN = 'the-token'
/** It takes 3 where everything hangs, and as much again on a machine that has other things to do. */
const SECONDS = 6_000
const UNSET = { PLAY_URL: '', METADATA_URL: '', CDNURL_URL: '', REPORTING_URL: '', QUEUE_LISTENER_URL: '' }

type Report = { status: unknown; text: string; ms: number; of: (name: string) => string[] }

/** Runs the doctor with these settings and no others. `of` gives what it says of one thing. */
async function doctor(env: Record<string, string>, args: string[] = []): Promise<Report> {
  const started = performance.now()
  await using child = startChild(process.execPath, ['scripts/doctor/main.ts', ...args], {
    env: { ...UNSET, NATS_URL: '', EVENTS_MAX_AGE: '', CONSUL_HTTP_ADDR: '', DATA_DIR: '/nowhere', ...env },
  })
  const status = await child.ended
  const ms = performance.now() - started
  const of = (name: string) =>
    child.lines.flatMap((line) => {
      const [, mark, about, text] = /^(ok|warn|FAIL) +(\S+) +(.*)$/.exec(line) ?? []
      return about === name ? [`${mark} ${text}`] : []
    })
  return { status, text: child.lines.join('\n'), ms, of }
}

describe.skipIf(!natsVersion)('npm run doctor', { timeout: 30_000 }, () => {
  let system: System
  let env: Record<string, string>
  beforeAll(async () => {
    system = await startSystem({ WRITE_TOKEN })
    env = { ...system.env, PLAY_URL: system.play.url, QUEUE_LISTENER_URL: system.listener.url }
    await eventually(async () => expect((await play(system.play.url, '456', 'first')).status).toBe(200))
    await recovered()
  }, 30_000)
  afterAll(() => system?.[Symbol.asyncDispose]())

  /** Has reporting count a batch that the log does not have. */
  const count = (batch: EventBatch) =>
    fetch(`${system.reporting.url}/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${WRITE_TOKEN}` },
      body: JSON.stringify(batch),
    })

  /** Asked of the services themselves, which is cheaper than a process for each look. */
  const recovered = () =>
    eventually(async () => {
      const { play, metadata, cdnurl, reporting, listener } = system
      for (const { url } of [play, metadata, cdnurl, reporting, listener]) {
        expect(JSON.stringify(await getJson(`${url}/readyz`))).not.toMatch(/down|not ready/)
      }
      expect(await metric(play.url, /^outbox_waiting_views/)).toBe(0)
      expect(await metric(listener.url, /^event_log_lag_messages/)).toBe(0)
    }, 20_000)

  test('where all is well it has a line for each thing, and ends with status 0', async () => {
    const { status, text } = await doctor(env)
    expect(text.split('\n').map((line) => line.replace(/ +/g, ' '))).toEqual([
      `ok play ${system.play.url} is ready`,
      `ok metadata ${system.metadata.url} is ready`,
      `ok reporting ${system.reporting.url} is ready`,
      `ok cdnurl ${system.cdnurl.url} is ready`,
      `ok queue-listener ${system.listener.url} is ready`,
      `ok nats ${system.nats.url.replace('nats://', '')} (nats-server ${natsVersion}) answers`,
      expect.stringMatching(
        /^ok log the stream EVENTS has \d+ messages?, [\d.]+ kB, the first of 20.*Z, kept for ever$/,
      ),
      'ok counting all that is in the log is counted',
      `ok outbox ${system.play.url} has no view waiting`,
      expect.stringMatching(/^ok node \d/),
      expect.stringMatching(/^(ok|warn) disk [\d,]+ MiB free for /),
      '',
      'Nothing is wrong.',
    ])
    expect(status).toBe(0)
  })

  test('a service that was killed is named, with how to start it, and who does without it', async () => {
    await system.reporting.signal('SIGKILL')
    const { status, of } = await doctor(env)
    await system.reporting.start()
    expect(status).toBe(1)
    const { port } = new URL(system.reporting.url)
    expect(of('reporting')).toEqual([
      `FAIL ${system.reporting.url} does not answer: start it (node reporting/main.ts --port ${port}); plays go on with null counts meanwhile`,
    ])
    expect(of('play')).toContain(`warn ${system.play.url} is ready, without reporting: see there`)
    expect(of('queue-listener')).toEqual([`FAIL ${system.listener.url} is not ready, without reporting: see there`])
    await recovered()
  })

  test('one that hangs is named too, and not waited for', async () => {
    await system.metadata.signal('SIGSTOP')
    const { status, ms, of } = await doctor(env)
    await system.metadata.start()
    expect(status).toBe(1)
    expect(of('metadata')).toEqual([expect.stringContaining('does not answer within 2 s: it hangs')])
    expect(ms).toBeLessThan(SECONDS)
  })

  test('when everything hangs it still ends in seconds', async () => {
    const all = [system.play, system.listener, system.metadata, system.cdnurl, system.reporting, system.nats]
    for (const process of all) await process.signal('SIGSTOP')
    const { status, ms, of } = await doctor(env)
    for (const process of all) await process.start()
    expect(status).toBe(1)
    expect(of('nats')).toEqual([expect.stringContaining('does not answer (TIMEOUT)')])
    expect(ms).toBeLessThan(SECONDS)
    await recovered()
  })

  test('without NATS it says how many views wait in the outbox', async () => {
    await system.nats.signal('SIGKILL')
    for (const user of ['a', 'b']) expect((await play(system.play.url, '456', user)).status).toBe(200)
    const { status, of } = await doctor(env)
    await system.nats.start()
    expect(status).toBe(1)
    expect(of('nats')).toEqual([expect.stringMatching(/^FAIL .* does not answer \(CONNECTION_REFUSED\): start it/)])
    expect(of('play')).toEqual([`warn ${system.play.url} is ready, without nats: see there`])
    expect(of('outbox')).toEqual([
      expect.stringContaining(`FAIL ${system.play.url} has 2 views waiting, which the log`),
    ])
    await recovered()
    expect(await doctor(env)).toMatchObject({ status: 0, text: expect.stringMatching(/Nothing is wrong\.$/) })
  })

  test('views in the outbox of a play that does not run are found, and left there', async () => {
    await using other = await startService('play', system.env)
    await eventually(async () => expect((await play(other.url, '456', 'outbox')).status).toBe(200))
    await system.nats.signal('SIGKILL')
    expect((await play(other.url, '456', 'outbox')).body).toMatchObject({ degraded: ['events'] })
    const files = await readdir(env.DATA_DIR as string)
    const running = await doctor(env)
    expect(running.of('outbox').filter((line) => line.includes('.sqlite'))).toEqual([])
    await other.signal('SIGKILL')
    await system.nats.start()
    const { of } = await doctor(env)
    const { port } = new URL(other.url)
    expect(of('outbox')).toContainEqual(
      expect.stringMatching(`^FAIL 1 view in .*outbox-${port}.sqlite, and no play .*node play/main.ts --port ${port}`),
    )
    expect(await readdir(env.DATA_DIR as string)).toEqual(files)
    await other.start()
    await eventually(async () => expect(await metric(other.url, /^outbox_waiting_views/)).toBe(0))
    await recovered()
  })

  test('a listener whose writes are refused is found by what it does not count', async () => {
    await system.listener.signal('SIGKILL')
    {
      await using wrong = await startService('queue-listener', { ...system.env, WRITE_TOKEN: 'another' })
      await play(system.play.url, '456', 'late')
      await eventually(async () => {
        const { status, of } = await doctor({ ...env, QUEUE_LISTENER_URL: wrong.url })
        expect(of('queue-listener')).toEqual([`ok ${wrong.url} is ready`])
        expect(of('counting')).toEqual([expect.stringMatching(/^FAIL 1 message of the log wait.*WRITE_TOKEN/)])
        expect(status).toBe(1)
      })
    }
    await system.listener.start()
    await recovered()
  })

  test('a log that ends before what is counted is told apart', async () => {
    const { stream, sequence } = (await getJson(`${system.reporting.url}/events/position`)) as Position
    await count({ stream, after: sequence, through: sequence + 100, views: [] })
    const { status, of } = await doctor(env)
    expect(status).toBe(1)
    expect(of('counting')).toEqual([
      expect.stringMatching(`^FAIL the log ends at ${sequence}, before ${sequence + 100}, .*restart reporting`),
    ])
    await system.reporting.signal('SIGKILL')
    await system.reporting.start()
    await recovered()
  })

  test('a log that is older than what is counted is told apart', async () => {
    await count({ stream: '2099-01-01T00:00:00Z', after: 0, through: 7, views: [] })
    await play(system.play.url, '456', 'older')
    await eventually(async () => {
      const { status, of } = await doctor(env)
      expect(of('counting')).toEqual([
        expect.stringMatching(/^FAIL reporting has counted a later log.*restart reporting/),
      ])
      expect(status).toBe(1)
    })
    await system.reporting.signal('SIGKILL')
    await system.reporting.start()
    await recovered()
  })

  test('who listens where a service should is told from it', async () => {
    await using stranger = await startFake({ '/readyz': 'It works!' })
    const { status, of } = await doctor({ ...env, METADATA_URL: stranger.url, CDNURL_URL: system.metadata.url })
    expect(status).toBe(1)
    expect(of('metadata')).toEqual([
      `FAIL ${stranger.url} is another program: end it, or let metadata listen elsewhere (--port) and set METADATA_URL`,
    ])
    expect(of('cdnurl')).toEqual([`FAIL ${system.metadata.url} is metadata, not cdnurl: correct CDNURL_URL`])
  })

  test('another version, another Node, an open circuit are warnings; a second reporting is wrong', async () => {
    await using old = await startFake({
      '/readyz': { status: 'ready', dependencies: {}, circuits: { cdnurl: 'open' } },
      '/openapi.json': { info: { title: 'reporting', version: '0.0.1' } },
      '/metrics': 'nodejs_version_info{version="v18.0.0",major="18"} 1\n',
    })
    const one = await doctor({ ...env, REPORTING_URL: old.url })
    expect(one.of('reporting')).toEqual([
      expect.stringMatching(`^warn ${old.url} does not ask cdnurl`),
      `warn ${old.url} is version 0.0.1, and this checkout is ${version}: restart it from here`,
      expect.stringMatching(`^warn ${old.url} runs on Node 18.0.0: `),
    ])
    const two = await doctor({ ...env, REPORTING_URL: `${system.reporting.url},${old.url}` })
    expect(two.of('reporting')).toContain('FAIL of 2 instances each counts for itself: keep one of them')
    expect(two.status).toBe(1)
  })

  test('a service that another one does not reach is wrong, though both run', async () => {
    await using lost = await startService('play', { ...system.env, REPORTING_URL: 'http://127.0.0.1:9' })
    const { status, of } = await doctor({ ...env, PLAY_URL: lost.url })
    expect(status).toBe(1)
    expect(of('play')).toEqual([`FAIL ${lost.url} is ready, without reporting: correct its REPORTING_URL`])
  })

  test('rejected messages are a warning with the reason, for they stay', async () => {
    await system.nats.use((connection) => connection.jetstream().publish('events.view.tv', 'not json'))
    await eventually(async () => {
      const { status, of } = await doctor(env)
      expect(of('log')[1]).toMatch(/^warn 1 message in events.rejected, the last because: .*not valid JSON/)
      expect(status).toBe(0)
    })
  })

  test('a log that is kept for another time than was asked for is a warning', async () => {
    const { status, of } = await doctor({ ...env, EVENTS_MAX_AGE: '90d' })
    expect(of('log')[0]).toMatch(/^warn .* kept for ever, and EVENTS_MAX_AGE asks for 90d: /)
    expect(status).toBe(0)
  })
})

describe.skipIf(!natsVersion)('npm run doctor and NATS alone', { timeout: 20_000 }, () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'doctor-test-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test('no stream means that nobody has played, and it makes none', async () => {
    await using nats = await startNatsServer()
    const { of } = await doctor({ NATS_URL: nats.url }, await nowhere())
    expect(of('log')).toEqual(['ok there is no stream EVENTS: nobody has played yet'])
    const streams = nats.use(async (connection) => (await connection.jetstreamManager()).streams.list().next())
    expect(await streams).toEqual([])
  })

  test('an account without JetStream, and a wrong password, are told apart', async () => {
    const config = join(folder, 'accounts.conf')
    await writeFile(config, 'accounts { PLAIN { users = [{ user: me, password: right }] } }')
    await using nats = await startNatsServer({ config })
    const at = (credentials: string) => ({ NATS_URL: nats.url.replace('//', `//${credentials}@`) })
    const plain = await doctor(at('me:right'), await nowhere())
    expect(plain.of('nats')).toEqual([expect.stringMatching(/^FAIL \S+ has no JetStream: start it with --jetstream/)])
    const refused = await doctor(at('me:wrong'), await nowhere())
    expect(refused.of('nats')).toEqual([expect.stringMatching(/^FAIL \S+ refuses who asks: /)])
    expect(refused.text).not.toContain('wrong@')
  })
})

describe('npm run doctor', { timeout: 20_000 }, () => {
  test('the embedded mode is recognised, and misses no NATS', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'doctor-embedded-'))
    const edge = await freePortRange()
    await using embedded = await startService('embedded', { DATA_DIR: folder }, edge)
    const reporting = `http://127.0.0.1:${edge + 2}`
    await eventually(async () => expect((await play(`http://127.0.0.1:${edge}`, '456', '8')).status).toBe(200))
    await eventually(async () => expect(await views(reporting, 'user', '8')).toBe(1))
    const { status, of, text } = await doctor({}, ['--port', String(edge)])
    expect(text).not.toMatch(/^(FAIL|warn)/m)
    expect(of('log')).toEqual([expect.stringContaining('ok embedded mode')])
    expect(of('counting')).toEqual(['ok all that is in the log is counted'])
    expect(of('nats')).toEqual([])
    expect(status).toBe(0)
    await embedded.signal('SIGTERM')
    await rm(folder, { recursive: true })
  })

  test('where nothing runs it says how to start all', async () => {
    const { status, text } = await doctor({}, await nowhere())
    expect(status).toBe(1)
    expect(text).toMatch(/Nothing runs here: `npm start` starts everything\.$/)
    expect(text).not.toContain('[')
  })

  test.each([
    [['--colour'], "Unknown option '--colour'"],
    [['--port', '80'], '--port is "80": it must be a port'],
  ])('%j ends it with status 2 and one line that names it', async (args, said) => {
    const { status, text } = await doctor({}, args)
    expect({ status, text }).toEqual({ status: 2, text: expect.stringContaining(`npm run doctor: ${said}`) })
    expect(text).not.toContain('\n')
  })

  test('a wrong setting ends it with status 2, and --help with 0', async () => {
    const wrong = await doctor({ NATS_URL: 'http://nats' })
    expect(wrong).toMatchObject({
      status: 2,
      text: expect.stringContaining('npm run doctor: NATS_URL is "http://nats"'),
    })
    expect(await doctor({}, ['--help'])).toMatchObject({ status: 0, text: expect.stringContaining('--port N') })
  })
})

describe.skipIf(!hasConsul)('npm run doctor with Consul', { timeout: 30_000 }, () => {
  test('who is not registered is named, and who is registered is asked', async () => {
    await using consul = await startConsulAgent()
    const CONSUL_HTTP_ADDR = consul.address
    await using metadata = await startService('metadata', { CONSUL_HTTP_ADDR })
    await using reporting = await startService('reporting', { CONSUL_HTTP_ADDR })
    const look = async () => doctor({ CONSUL_HTTP_ADDR }, await nowhere())
    await eventually(async () => {
      const { of } = await look()
      expect(of('metadata')).toEqual([`ok ${metadata.url} is ready`])
      expect(of('reporting')).toEqual([`ok ${reporting.url} is ready`])
      expect(of('consul')).toEqual(
        ['play', 'cdnurl', 'queue-listener'].map((name) => expect.stringContaining(`FAIL ${name} is not`)),
      )
    })
    await metadata.signal('SIGKILL')
    expect((await look()).of('metadata')).toEqual([
      expect.stringContaining(`FAIL ${metadata.url} does not answer: start it`),
    ])
    await consul.signal('SIGKILL')
    const { of } = await look()
    expect(of('consul')).toEqual([expect.stringContaining(`FAIL ${consul.address} does not answer`)])
  })

  test('a token that is refused is named', async () => {
    await using consul = await startConsulAgent({ managementToken: '11111111-1111-4111-8111-111111111111' })
    const CONSUL_HTTP_TOKEN = '22222222-2222-4222-8222-222222222222'
    const { of, text } = await doctor({ CONSUL_HTTP_ADDR: consul.address, CONSUL_HTTP_TOKEN }, await nowhere())
    expect(of('consul')).toEqual([expect.stringMatching(/^FAIL \S+ refuses the token: correct CONSUL_HTTP_TOKEN/)])
    expect(text).not.toContain(CONSUL_HTTP_TOKEN)
  })
})

/** Arguments that send it to where nobody is. */
async function nowhere(): Promise<string[]> {
  return ['--port', String(await freePortRange())]
}

/** A program that answers each path with a text or JSON. */
async function startFake(answers: Record<string, unknown>): Promise<AsyncDisposable & { url: string }> {
  const server = createServer((request, response) => {
    const answer = answers[request.url ?? '']
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer ?? {}))
  }).listen(await freePort(), '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
