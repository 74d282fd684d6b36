import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { STREAM } from '../shared/event-log/stream.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { readinessOf } from './harness/counting.ts'
import { startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { subscribeLive } from './harness/live-subscriber.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views } from './harness/plays.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const OFTEN = { CHECKPOINT_EVERY: '50ms' }
const NEVER_WHILE_RUNNING = { CHECKPOINT_EVERY: '30d' }
const FILE = 'checkpoint-reporting.bin'

/** A script for `node --require`. After SIGUSR2, the service cannot allocate an array of 32-bit integers. */
const FAILING_ALLOCATIONS = `
process.on('SIGUSR2', () => {
  const construct = () => { throw new RangeError('Array buffer allocation failed') }
  globalThis.Uint32Array = new Proxy(Uint32Array, { construct })
  console.log('allocations fail')
})`

let directory: Awaited<ReturnType<typeof createTempDirectory>>
beforeEach(async () => {
  directory = await createTempDirectory('checkpoints')
})
afterEach(() => directory[Symbol.asyncDispose]())

const startReporting = (settings: Record<string, string>) =>
  startService('reporting', { DATA_DIR: directory.path, ...settings })
const countDirectly = ({ url }: ServiceProcess, user: string) =>
  fetch(`${url}/events/asset/a/user/${user}`, { method: 'POST' })
const linesOf = (process: ServiceProcess, text: string) => process.lines().filter((line) => line.includes(text))

/** Waits until every counted view is in the checkpoint. */
const expectSaved = ({ url }: ServiceProcess) =>
  eventually(async () => expect(await metric(url, /^checkpoint_age_seconds/)).toBe(0))

describe('reporting on its own', () => {
  test('keeps its counts, its position and its store id across a graceful restart', async () => {
    await using reporting = await startReporting(NEVER_WHILE_RUNNING)
    for (const user of ['u', 'u', 'v']) await countDirectly(reporting, user)
    const batch = { stream: 's', after: 0, through: 7, views: [] }
    expect((await fetch(`${reporting.url}/events`, jsonRequest(batch))).status).toBe(200)
    const { counting } = await readinessOf(reporting.url)
    await reporting.signal('SIGTERM')
    expect(await reporting.ended()).toBe(0)
    await reporting.start()
    expect(await views(reporting.url, 'user', 'u')).toBe(2)
    expect(await getJson(`${reporting.url}/events/top?by=asset`)).toMatchObject({ top: [{ id: 'a', views: 3 }] })
    expect(await getJson(`${reporting.url}/events/position`)).toEqual({ stream: 's', sequence: 7 })
    expect(counting?.store).toMatch(/./)
    expect((await readinessOf(reporting.url)).counting?.store).toBe(counting?.store)
    await using live = await subscribeLive(`${reporting.url}/events/live`)
    await eventually(() => expect(live.seen()).toMatchObject({ views: 3 }))
  })

  test('continues from its last checkpoint after kill -9', async () => {
    await using reporting = await startReporting(OFTEN)
    await countDirectly(reporting, 'u')
    await countDirectly(reporting, 'u')
    await expectSaved(reporting)
    await reporting.signal('SIGKILL')
    await reporting.start()
    expect(await views(reporting.url, 'user', 'u')).toBe(2)
  })

  test('exits if it fails in the middle of a batch, and counts the batch exactly once after a restart', async () => {
    const preload = join(directory.path, 'preload.cjs')
    await writeFile(preload, FAILING_ALLOCATIONS)
    await using reporting = await startReporting({ ...OFTEN, NODE_OPTIONS: `--require=${preload}` })
    const send = (after: number) => {
      const users = Array.from({ length: 100 }, (_, n) => ({ assetId: 'a', userId: `u${after}-${n}` }))
      const views = users.map((play) => ({ ...play, id: play.userId, at: '2026-11-20T21:00:00.000Z' }))
      return fetch(`${reporting.url}/events`, jsonRequest({ stream: 's', after, through: after + 1, views }))
    }
    expect((await send(0)).status).toBe(200)
    await expectSaved(reporting)
    process.kill(reporting.pid(), 'SIGUSR2')
    await eventually(() => expect(linesOf(reporting, 'allocations fail')).toHaveLength(1))
    await send(1).catch(() => undefined)
    expect(await reporting.ended()).toBe(1)
    expect(reporting.lines().join('\n')).toContain('Array buffer allocation failed')
    await reporting.start()
    expect(await getJson(`${reporting.url}/events/position`)).toEqual({ stream: 's', sequence: 1 })
    expect((await send(1)).status).toBe(200)
    expect(await views(reporting.url, 'asset', 'a')).toBe(200)
  })

  test('with CHECKPOINT_EVERY=0s, neither writes nor reads a checkpoint', async () => {
    {
      await using reporting = await startReporting(NEVER_WHILE_RUNNING)
      await countDirectly(reporting, 'u')
    }
    const before = await readFile(join(directory.path, FILE))
    await using reporting = await startReporting({ CHECKPOINT_EVERY: '0s' })
    expect(await views(reporting.url, 'user', 'u')).toBe(0)
    await countDirectly(reporting, 'v')
    await reporting.signal('SIGTERM')
    expect(await readFile(join(directory.path, FILE))).toEqual(before)
  })

  test('sets a corrupt checkpoint aside, logs one line, and starts without counts', async () => {
    await writeFile(join(directory.path, FILE), 'corrupt')
    await using reporting = await startReporting(OFTEN)
    expect(await views(reporting.url, 'user', 'u')).toBe(0)
    expect(linesOf(reporting, 'checkpoint').map((line) => JSON.parse(line))).toMatchObject([
      {
        level: 50,
        file: join(directory.path, FILE),
        reason: 'it is truncated',
        msg: 'cannot use the checkpoint: it was set aside, and the log is counted from its start',
      },
    ])
    expect(await readdir(directory.path)).toContainEqual(expect.stringMatching(/^checkpoint-reporting\.bin\.corrupt-/))
  })

  test('loads the counts of more users than MAX_USERS, and refuses new users', async () => {
    {
      await using reporting = await startReporting(NEVER_WHILE_RUNNING)
      for (const user of ['u', 'v', 'w']) await countDirectly(reporting, user)
    }
    await using reporting = await startReporting({ MAX_USERS: '1' })
    expect((await countDirectly(reporting, 'w')).status).toBe(200)
    expect(await views(reporting.url, 'user', 'w')).toBe(2)
    expect((await countDirectly(reporting, 'x')).status).toBe(507)
  })

  test('refuses to start with a DATA_DIR that another instance uses, until that instance has exited', async () => {
    await using first = await startReporting(OFTEN)
    const lock = join(directory.path, 'checkpoint-reporting.lock')
    await expect(startReporting(OFTEN)).rejects.toThrow(
      new RegExp(`ended:\nreporting: another process has locked ${lock}: each reporting needs its own DATA_DIR$`),
    )
    await countDirectly(first, 'u')
    await expectSaved(first)
    await first.signal('SIGKILL')
    await using second = await startReporting(OFTEN)
    expect(await views(second.url, 'user', 'u')).toBe(1)
  })

  test('runs without a checkpoint if DATA_DIR is not writable, and logs this once', async () => {
    await using reporting = await startReporting({ DATA_DIR: '/dev/null/none', ...OFTEN })
    await countDirectly(reporting, 'u')
    expect(await views(reporting.url, 'user', 'u')).toBe(1)
    expect(await metric(reporting.url, /^checkpoint_failing/)).toBe(1)
    await reporting.signal('SIGTERM')
    expect(await reporting.ended()).toBe(0)
    expect(reporting.lines().filter((line) => JSON.parse(line).level > 30)).toEqual([
      expect.stringContaining('DATA_DIR is not writable: the counts are not saved'),
    ])
  })

  test('keeps counting while it cannot write checkpoints, logs this once, and writes them again as soon as it can', async () => {
    const data = join(directory.path, 'data')
    await using reporting = await startReporting({ DATA_DIR: data, ...OFTEN })
    await rm(data, { recursive: true })
    await countDirectly(reporting, 'u')
    await eventually(async () => expect(await metric(reporting.url, /^checkpoint_failing/)).toBe(1))
    expect(await metric(reporting.url, /^checkpoint_age_seconds/)).toBeGreaterThan(0)
    await countDirectly(reporting, 'u')
    expect(await views(reporting.url, 'user', 'u')).toBe(2)
    await mkdir(data)
    await expectSaved(reporting)
    expect(await metric(reporting.url, /^checkpoint_failing/)).toBe(0)
    expect(await metric(reporting.url, /^checkpoint_bytes/)).toBeGreaterThan(100)
    expect(linesOf(reporting, 'cannot write the checkpoint')).toHaveLength(1)
    expect(linesOf(reporting, 'checkpoints are written again')).toHaveLength(1)
  })
})

test('embedded mode keeps direct counts and the views in its log across a graceful restart', async () => {
  await using system = await startEmbedded({ DATA_DIR: directory.path, ...NEVER_WHILE_RUNNING })
  const { reporting, process, play: edge } = system
  await fetch(`${reporting.url}/events/asset/a/user/direct`, { method: 'POST' })
  expect((await play(edge.url, '456', 'u')).status).toBe(200)
  await eventually(async () => expect(await views(reporting.url, 'user', 'u')).toBe(1))
  await process.signal('SIGTERM')
  await process.start()
  await eventually(async () => expect(await views(reporting.url, 'user', 'direct')).toBe(1))
  expect(await views(reporting.url, 'user', 'u')).toBe(1)
  expect(await readdir(directory.path)).not.toContain(FILE)
})

describe.skipIf(!natsVersion)('reporting with a log', () => {
  const playTimes = async ({ play: edge }: System, times: number) => {
    for (let n = 0; n < times; n += 1) {
      await eventually(async () => expect((await play(edge.url, '456', 'u')).status).toBe(200))
    }
  }
  const expectViews = ({ reporting }: System, expected: number) =>
    eventually(async () => {
      expect(await views(reporting.url, 'user', 'u')).toBe(expected)
      expect(await views(reporting.url, 'asset', '456')).toBe(expected)
    })
  const start = (settings: Record<string, string>) => startSystem({ DATA_DIR: directory.path, ...settings })

  test('keeps the counts of messages that have expired from the log, whether reporting is stopped or killed', async () => {
    await using system = await start({ EVENTS_MAX_AGE: '2s', ...OFTEN })
    const { nats, reporting } = system
    const expectExpired = () =>
      nats.use(async (connection) => {
        const jsm = await connection.jetstreamManager()
        await eventually(async () => expect((await jsm.streams.info(STREAM)).state.messages).toBe(0))
      })
    let played = 0
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await playTimes(system, 3)
      played += 3
      await expectViews(system, played)
      await expectSaved(reporting)
      await expectExpired()
      await reporting.signal(signal)
      await reporting.start()
      await expectViews(system, played)
    }
    await playTimes(system, 1)
    await expectViews(system, played + 1)
    expect(await getJson(`${reporting.url}/events/lost`)).toEqual({ views: 0, gaps: [] })
  })

  test('after kill -9, counts only the views that are not in the checkpoint, each exactly once', async () => {
    await using system = await start(OFTEN)
    const { listener, reporting } = system
    await playTimes(system, 5)
    await expectViews(system, 5)
    await expectSaved(reporting)
    await listener.signal('SIGSTOP')
    await reporting.signal('SIGKILL')
    await playTimes(system, 2)
    await reporting.start()
    await listener.start()
    await expectViews(system, 7)
    expect(await metric(reporting.url, /^counted_views_total{source="log"}/)).toBe(2)
    expect(linesOf(reporting, 'checkpoint loaded')).toHaveLength(1)
  })

  test('counts every view in the log exactly once if its checkpoint is corrupt or missing', async () => {
    await using system = await start(NEVER_WHILE_RUNNING)
    const { reporting } = system
    await playTimes(system, 3)
    await expectViews(system, 3)
    for (const damage of [(file: string) => writeFile(file, 'corrupt'), (file: string) => rm(file)]) {
      await reporting.signal('SIGTERM')
      await damage(join(directory.path, FILE))
      await reporting.start()
      await expectViews(system, 3)
    }
  })

  test('sets its checkpoint aside if the log has been recreated, and counts the new log from the start', async () => {
    await using system = await start(OFTEN)
    const { listener, nats, reporting } = system
    await playTimes(system, 3)
    await expectViews(system, 3)
    await reporting.signal('SIGTERM')
    await listener.signal('SIGTERM')
    await nats.deleteStream(STREAM)
    await reporting.start()
    await listener.start()
    await playTimes(system, 2)
    await expectViews(system, 2)
    const [line] = linesOf(reporting, 'cannot use the checkpoint: it was set aside')
    expect(line).toContain('it contains counts from the log')
    expect((await readdir(directory.path)).filter((name) => name.startsWith(`${FILE}.foreign-`))).toHaveLength(1)
    await reporting.signal('SIGTERM')
    await reporting.start()
    await expectViews(system, 2)
    expect(linesOf(reporting, 'cannot use the checkpoint')).toEqual([])
  })
})
