import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { Playback } from '../shared/contracts/playback.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { postAsset } from './harness/assets.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, play, views } from './harness/plays.ts'
import { runningTime } from './harness/running-time.ts'
import { type System, startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

/** The maximum time until an outage is detected. */
const DETECT_MS = 2_000

/** The maximum time that recovery may take. */
const RECOVER_MS = 5_000

const fields = { title: 'Metropolis', genre: 'drama', summary: '' }

describe.skipIf(!natsVersion)('with a real NATS server,', () => {
  let stack: AsyncDisposableStack
  let system: System
  afterEach(() => stack?.disposeAsync())

  async function start(natsConfig = '') {
    stack = new AsyncDisposableStack()
    const { path } = stack.use(await createTempDirectory('nats-config'))
    const config = join(path, 'nats.conf')
    await writeFile(config, natsConfig)
    system = stack.use(await startSystem({}, { config }))
    await expectStates('up', RECOVER_MS)
  }

  const usersOfNats = () => [system.play, system.metadata, system.cdnurl, system.listener]

  /** Waits until each service and the console report this state of NATS. */
  async function expectStates(state: 'up' | 'down', limitMs: number): Promise<void> {
    await Promise.all([
      ...usersOfNats().map(({ url }) =>
        eventually(
          async () => expect(await getJson(`${url}/readyz`)).toMatchObject({ dependencies: { nats: state } }),
          limitMs,
        ),
      ),
      eventually(
        async () => expect(await getJson(`${system.play.url}/status`)).toMatchObject({ parts: { events: { state } } }),
        limitMs,
      ),
    ])
  }

  const expectViews = (userId: string, count: number) =>
    eventually(async () => expect(await views(system.reporting.url, 'user', userId)).toBe(count))

  test('a server that hangs is reported as down within 2 s, even if nobody plays, and all plays are counted', async () => {
    await start()
    await system.nats.signal('SIGSTOP')
    await expectStates('down', DETECT_MS)
    for (let count = 0; count < 5; count += 1) {
      const startedAt = runningTime()
      expect(await play(system.play.url, '456', 'hanging')).toMatchObject({
        body: { degraded: ['events'] },
        status: 200,
      })
      expect(runningTime() - startedAt).toBeLessThan(500)
    }
    await system.nats.signal('SIGCONT')
    await expectStates('up', RECOVER_MS)
    await expectViews('hanging', 5)
  })

  test("a play's counts are never too high, even while the outbox drains", async () => {
    await start()
    const stopping = new AbortController()
    const failed: object[] = []
    let served = 0
    /** Plays as new users, four times each. No user can have more views than plays so far. */
    async function playAsUsers(name: string): Promise<void> {
      for (let n = 0; !stopping.signal.aborted; n += 1) {
        const [user, plays] = [`${name}-${n >> 2}`, (n % 4) + 1]
        const { status, body } = await play(system.play.url, '456', user)
        const { userviews } = Playback.partial().parse(body)
        if (status !== 200 || Number(userviews) > plays) failed.push({ user, plays, status, userviews })
        if (userviews !== null) served += 1
      }
    }
    const playing = Promise.all(Array.from({ length: 48 }, (_, n) => playAsUsers(`user-${n}`)))
    for (let outages = 0; outages < 2; outages += 1) {
      await sleep(500)
      await system.nats.signal('SIGSTOP')
      await sleep(1_000)
      await system.nats.signal('SIGCONT')
      await sleep(1_500)
    }
    stopping.abort()
    await playing
    expect(failed).toEqual([])
    expect(served).toBeGreaterThan(1_000)
  })

  test('a full log and full buckets are reported with the reason, and used again as soon as there is room', async () => {
    await start('jetstream { max_file_store: 1MB }')
    const write = () => fetch(`${system.metadata.url}/content/asset/789`, jsonRequest(fields))
    const reasonOf = async (url: string) => ((await getJson(`${url}/readyz`)) as { reasons?: object }).reasons
    const full = { nats: 'insufficient resources' }
    const expectReason = (url: string) => eventually(async () => expect(await reasonOf(url)).toEqual(full), DETECT_MS)
    await fillStorage(system)
    expect(await play(system.play.url, '456', 'full')).toMatchObject({ status: 200, body: { degraded: ['events'] } })
    expect((await write()).status).toBe(503)
    for (const { url } of [system.play, system.metadata]) await expectReason(url)
    expect(await getJson(`${system.metadata.url}/readyz`)).toMatchObject({ dependencies: { nats: 'down' } })
    await sleep(2_000)
    for (const { url } of [system.play, system.metadata]) expect(await reasonOf(url)).toEqual(full)
    await system.nats.use(async (connection) => (await connection.jetstreamManager()).streams.delete('FILLER'))
    await expectStates('up', RECOVER_MS)
    for (const { url } of usersOfNats()) expect(await reasonOf(url)).toBeUndefined()
    expect((await write()).status).toBe(200)
    await expectViews('full', 1)
  })

  test('if the server closes all connections while the services are suspended, everything recovers within 5 s', async () => {
    await start('ping_interval: "1s", ping_max: 1, write_deadline: "1s"')
    const { metadata, cdnurl, reporting, listener, play: edge, nats } = system
    const services = [metadata, cdnurl, reporting, listener, edge]
    await seed(3_000)
    const linesBefore = services.map((service) => service.lines().length)
    const logged = () => services.flatMap((service, index) => service.lines().slice(linesBefore[index]))
    for (const service of services.toReversed()) await service.signal('SIGSTOP')
    // The suspended services miss these changes.
    await nats.use(async (connection) => {
      const kv = await connection.jetstream().views.kv('metadata')
      for (let n = 0; n < 1_000; n += 1) await kv.put(`asset-${n}`, JSON.stringify({ ...fields, title: `new ${n}` }))
    })
    await sleep(5_000)
    for (const service of services) await service.signal('SIGCONT')
    const resumedAt = runningTime()
    await eventually(() => {
      const isBack = (line: string) => line.includes('"NATS is up"')
      expect(logged().filter(isBack)).toHaveLength(usersOfNats().length)
    }, RECOVER_MS)
    await expectStates('up', RECOVER_MS)
    for (const { url, path, body } of [
      { url: metadata.url, path: '/content/asset/after', body: fields },
      { url: cdnurl.url, path: '/url/asset/after', body: { url: 'path/after.mp4' } },
    ]) {
      await eventually(
        async () => expect((await fetch(`${url}${path}`, jsonRequest(body))).status).toBe(200),
        RECOVER_MS,
      )
    }
    await eventually(async () => {
      expect(await getJson(`${metadata.url}/content/asset/asset-999`)).toMatchObject({ title: 'new 999' })
    }, RECOVER_MS)
    await eventually(async () => {
      expect(await play(edge.url, 'after', 'woken')).toMatchObject({ status: 200, body: { title: fields.title } })
    }, RECOVER_MS)
    expect(runningTime() - resumedAt).toBeLessThan(RECOVER_MS)
    const unexpected = logged().filter((line) => !isStateChange(line))
    expect(unexpected.join('\n')).toBe('')
    for (const service of services.toReversed()) {
      const startedAt = runningTime()
      await service.signal('SIGTERM')
      expect(runningTime() - startedAt).toBeLessThan(DETECT_MS)
    }
  })

  test('no warning is logged on a cold start if NATS starts 2 s after the services', async () => {
    await start()
    const services = [system.metadata, system.cdnurl, system.reporting, system.listener, system.play]
    for (const process of [...services, system.nats]) await process.signal('SIGKILL')
    const starting = Promise.all(services.map((service) => service.start()))
    await sleep(2_000)
    await system.nats.start()
    await starting
    await expectStates('up', RECOVER_MS)
    expect(await play(system.play.url, '456', 'first')).toMatchObject({ status: 200 })
    const lines = services.flatMap((service) => service.lines())
    expect(lines.filter((line) => JSON.parse(line).level > 30)).toEqual([])
  })

  test('services stop within 2 s while NATS hangs', async () => {
    await start()
    await system.nats.signal('SIGSTOP')
    for (const service of [system.play, system.listener, system.cdnurl, system.metadata]) {
      const startedAt = runningTime()
      await service.signal('SIGTERM')
      expect(runningTime() - startedAt).toBeLessThan(DETECT_MS)
      expect(await service.ended()).toBe(0)
    }
  })

  test('a bucket entry with an invalid key does not appear in the catalogue', async () => {
    await start()
    await system.nats.use(async (connection) => {
      const kv = await connection.jetstream().views.kv('metadata')
      for (const key of ['=zz', 'a.b', '_x']) await kv.put(key, JSON.stringify(fields))
    })
    await postAsset(system, { id: 'last', title: 'Last' })
    await eventually(async () => {
      expect(await getJson(`${system.play.url}/catalogue`)).toMatchObject({
        assets: [{ id: '123' }, { id: '456' }, { id: 'last' }],
      })
    })
  })

  async function seed(count: number): Promise<void> {
    const lines = Array.from(
      { length: count },
      (_, n) => `${JSON.stringify({ id: `asset-${n}`, url: 'a.mp4', ...fields })}\n`,
    )
    for (const url of [`${system.cdnurl.url}/url/assets`, `${system.metadata.url}/content/assets`]) {
      const headers = { 'content-type': 'application/x-ndjson' }
      await eventually(async () =>
        expect((await fetch(url, { method: 'POST', headers, body: lines.join('') })).status).toBe(200),
      )
    }
  }
})

async function fillStorage({ nats }: System): Promise<void> {
  await nats.use(async (connection) => {
    await (await connection.jetstreamManager()).streams.add({ name: 'FILLER', subjects: ['filler'] })
    const js = connection.jetstream()
    for (const size of [8_000, 100]) {
      await expect(
        (async () => {
          for (;;) await js.publish('filler', 'x'.repeat(size))
        })(),
      ).rejects.toThrow()
    }
  })
}

const OUTAGES = [
  'NATS is down',
  'event log unavailable; writing views to the outbox',
  'cannot report the end of the log; retrying',
  // The request was in flight when the service was suspended.
  'slow request',
]

/** Selects info lines, and the warnings that report an outage. */
function isStateChange(line: string): boolean {
  if (!line.startsWith('{')) return false
  const { level, msg } = JSON.parse(line)
  return level <= 30 || OUTAGES.includes(msg)
}
