import { execFileSync } from 'node:child_process'
import { copyFile, cp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { STREAM } from '../shared/event-log/stream.ts'
import { expectCurrent, readinessOf } from './harness/counting.ts'
import { eventually } from './harness/eventually.ts'
import { type NatsServer, natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views, warmUp } from './harness/plays.ts'
import { hasPostgres, postgresProgram } from './harness/postgres.ts'
import { startPostgresSystem } from './harness/postgres-system.ts'
import type { ServiceProcess } from './harness/service-process.ts'
import { backUpStream, restoreStream } from './harness/stream-backup.ts'
import { type System, startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const FILE = 'checkpoint-reporting.bin'
const OFTEN = { CHECKPOINT_EVERY: '100ms' }
const NO_LOSS = { views: 0, gaps: [] }

describe.skipIf(!natsVersion)('after a backup of the checkpoint and then of the log,', () => {
  /** Backs up the checkpoint at 3 views and the log at 5, then plays until there are 9 views. */
  async function startBackedUp(backUpLog: BackUpLog = copyLog) {
    await using stack = new AsyncDisposableStack()
    const backup = stack.use(await createTempDirectory('backup'))
    const system = stack.use(await startSystem(OFTEN))
    const { nats, play: edge, reporting, dataDir } = system
    await warmUp(edge.url)
    await playTimes(system, 3)
    await expectViews(reporting, 3)
    await reporting.signal('SIGTERM')
    await copyFile(join(dataDir, FILE), join(backup.path, FILE))
    await reporting.start()
    await playTimes(system, 2)
    await expectViews(reporting, 5)
    const restoreLog = await backUpLog(nats, backup.path)
    await expectConnected(edge)
    await playTimes(system, 4)
    await expectViews(reporting, 9)
    const all = [reporting, system.listener, edge]
    const stopped = stack.move()
    return {
      system,
      /** Restores files while all services are stopped. */
      async restore(what: { checkpoint?: boolean; log?: boolean }) {
        for (const service of all) await service.signal('SIGTERM')
        if (what.log) await restoreLog()
        if (what.checkpoint) await copyFile(join(backup.path, FILE), join(dataDir, FILE))
        for (const service of all) await service.start()
      },
      [Symbol.asyncDispose]: () => stopped.disposeAsync(),
    }
  }

  test.each([
    { how: 'a copy of its directory', backUpLog: copyLog },
    { how: 'a snapshot of the running server', backUpLog: snapshotLog },
  ])('restoring both (the log from $how) recovers the counts, and later views are reported as lost', async (given) => {
    await using backedUp = await startBackedUp(given.backUpLog)
    const { reporting, play: edge } = backedUp.system
    await backedUp.restore({ checkpoint: true, log: true })
    await expectCurrent(reporting.url)
    await expectViews(reporting, 5)
    await warmUp(edge.url)
    await playTimes(backedUp.system, 2)
    await expectViews(reporting, 7)
    // The first view after the restart names the last serial of the previous play process, which reveals the loss.
    expect(await getJson(`${reporting.url}/events/lost`)).toMatchObject({ views: 4 })
  })

  test('restoring only the checkpoint recounts later views from the log', async () => {
    await using backedUp = await startBackedUp()
    const { reporting } = backedUp.system
    await backedUp.restore({ checkpoint: true })
    await expectViews(reporting, 9)
    expect(await getJson(`${reporting.url}/events/lost`)).toEqual(NO_LOSS)
  })

  test('restoring only the log suspends counting until the checkpoint is removed', async () => {
    await using backedUp = await startBackedUp()
    const { reporting, listener, dataDir } = backedUp.system
    await backedUp.restore({ log: true })
    await eventually(() =>
      expect(listener.lines()).toContainEqual(expect.stringMatching(/LogRolledBackError.*the log ends at \d+/)),
    )
    expect((await readinessOf(reporting.url)).counting?.state).not.toBe('current')
    await reporting.signal('SIGTERM')
    await rm(join(dataDir, FILE))
    await reporting.start()
    await expectViews(reporting, 5)
    expect(await getJson(`${reporting.url}/events/lost`)).toEqual(NO_LOSS)
  })
})

test.skipIf(!natsVersion)(
  'views in a restored outbox are not counted again if the log already has them',
  { timeout: 60_000 },
  async () => {
    await using backup = await createTempDirectory('backup')
    await using system = await startSystem()
    const { nats, play: edge, reporting, dataDir } = system
    await warmUp(edge.url)
    await nats.signal('SIGTERM')
    await playTimes(system, 2)
    await edge.signal('SIGTERM')
    await copyOutboxes(dataDir, backup.path)
    await nats.start()
    await edge.start()
    await expectViews(reporting, 2)
    await edge.signal('SIGTERM')
    await copyOutboxes(backup.path, dataDir)
    await edge.start()
    await eventually(async () => expect(await metric(edge.url, /^outbox_waiting_views /)).toBe(0))
    await expectConnected(edge)
    await playTimes(system, 1)
    await expectViews(reporting, 3)
    expect(await getJson(`${reporting.url}/events/lost`)).toEqual(NO_LOSS)
  },
)

describe.skipIf(!natsVersion || !hasPostgres)('with the counts in Postgres,', () => {
  test.each(['run', 'are stopped'])(
    'an older dump can be restored while the reporting instances %s; later views are recounted from the log',
    async (how) => {
      await using backup = await createTempDirectory('backup')
      await using system = await startPostgresSystem()
      const { play: edge, reporting, second, databaseUrl } = system
      await warmUp(edge.url)
      await playTimes(system, 3)
      await expectViews(reporting, 3)
      const file = join(backup.path, 'counts.sql')
      execFileSync(postgresProgram('pg_dump'), ['--schema', 'reporting', '--file', file, databaseUrl])
      await playTimes(system, 4)
      await expectViews(reporting, 7)
      const instances = how === 'run' ? [] : [reporting, second]
      for (const instance of instances) await instance.signal('SIGTERM')
      const drop = ['--command', 'drop schema if exists reporting cascade']
      const strict = ['--single-transaction', '--set', 'ON_ERROR_STOP=1']
      execFileSync(postgresProgram('psql'), [...strict, ...drop, '--file', file, databaseUrl], { stdio: 'pipe' })
      for (const instance of instances) await instance.start()
      await eventually(async () => expect((await play(edge.url, '456', 'u')).status).toBe(200))
      for (const instance of [reporting, second]) {
        await expectCurrent(instance.url)
        await expectViews(instance, 8)
        expect(await getJson(`${instance.url}/events/lost`)).toEqual(NO_LOSS)
      }
    },
  )

  test('a restored log that is older than the counts suspends counting until the schema is dropped', async () => {
    await using backup = await createTempDirectory('backup')
    await using system = await startPostgresSystem()
    const { play: edge, reporting, second, listener, nats, postgres, databaseUrl } = system
    await warmUp(edge.url)
    await playTimes(system, 3)
    const restoreLog = await copyLog(nats, backup.path)
    await warmUp(edge.url)
    await playTimes(system, 4)
    await expectViews(reporting, 7)
    const all = [reporting, second, listener, edge]
    for (const service of all) await service.signal('SIGTERM')
    await restoreLog()
    for (const service of all) await service.start()
    await eventually(() => expect(listener.lines()).toContainEqual(expect.stringContaining('LogRolledBackError')))
    await postgres.use(databaseUrl, (client) => client.query('drop schema reporting cascade'))
    for (const instance of [reporting, second]) await expectViews(instance, 3)
  })
})

async function playTimes({ play: edge }: Pick<System, 'play'>, times: number): Promise<void> {
  for (let n = 0; n < times; n += 1) expect((await play(edge.url, '456', 'u')).status).toBe(200)
}

function expectViews({ url }: ServiceProcess, expected: number): Promise<void> {
  return eventually(async () => expect(await views(url, 'user', 'u')).toBe(expected))
}

function expectConnected({ url }: ServiceProcess): Promise<void> {
  return eventually(async () => expect((await readinessOf(url)).dependencies.nats).toBe('up'))
}

/** Backs up the log, and returns a function that restores it. */
type BackUpLog = (nats: NatsServer, directory: string) => Promise<() => Promise<void>>

async function copyLog(nats: NatsServer, directory: string) {
  const [from, to] = [nats.directoryOf(STREAM), join(directory, STREAM)]
  await nats.signal('SIGTERM')
  await cp(from, to, { recursive: true })
  await nats.start()
  return async () => {
    await nats.signal('SIGTERM')
    await rm(from, { recursive: true })
    await cp(to, from, { recursive: true })
    await nats.start()
  }
}

async function snapshotLog({ url }: NatsServer) {
  const backup = await backUpStream(url, STREAM)
  return () => restoreStream(url, backup)
}

async function copyOutboxes(from: string, to: string): Promise<void> {
  const names = (await readdir(from)).filter((name) => name.startsWith('outbox-'))
  expect(names).not.toEqual([])
  for (const name of names) await copyFile(join(from, name), join(to, name))
}
