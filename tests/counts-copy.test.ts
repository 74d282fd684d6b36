import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Position } from '../shared/contracts/position.ts'
import { STREAM } from '../shared/event-log/stream.ts'
import { PAGE_RECORDS } from '../shared/records/record-page.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { startChild } from './harness/child.ts'
import { expectCurrent } from './harness/counting.ts'
import { runCounts } from './harness/counts-command.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, play, views, warmUp } from './harness/plays.ts'
import { freePort } from './harness/ports.ts'
import { hasPostgres, type PostgresServer, startPostgres } from './harness/postgres.ts'
import { publishRaw } from './harness/raw-messages.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const FILE = 'checkpoint-reporting.bin'

describe.skipIf(!hasPostgres)('npm run counts -- copy', () => {
  let postgres: PostgresServer
  let env: { DATA_DIR: string; DATABASE_URL: string }
  let reporting: ServiceProcess
  let directory: Awaited<ReturnType<typeof createTempDirectory>>
  beforeAll(async () => {
    directory = await createTempDirectory('copy')
    postgres = await startPostgres()
    reporting = await startService('reporting', { DATA_DIR: directory.path })
    await fetch(`${reporting.url}/events`, jsonRequest({ stream: 's', after: 0, through: 7, views: [viewOf('u')] }))
    await reporting.signal('SIGTERM')
  })
  beforeEach(async () => {
    env = { DATA_DIR: directory.path, DATABASE_URL: await postgres.createDatabase() }
  })
  afterAll(async () => {
    await reporting?.[Symbol.asyncDispose]()
    await postgres?.[Symbol.asyncDispose]()
    await directory?.[Symbol.asyncDispose]()
  })

  const copy = (given: Record<string, string> = {}) => runCounts({ ...env, ...given }, 'copy')
  const stateOf = (url: string) =>
    postgres.use(url, async (client) => {
      const { rows } = await client.query('select incarnation, views from reporting.state')
      return rows[0]
    })

  test('copies the checkpoint without changing it, and can be repeated until reporting has used the copy', async () => {
    const before = await readFile(join(env.DATA_DIR, FILE))
    expect(await copy()).toEqual({
      status: 0,
      text: expect.stringMatching(/1 view of 1 user, up to sequence 7 of s\nCopied\./),
    })
    expect(await copy()).toMatchObject({ status: 0, text: expect.stringMatching(/already has these counts\. Nothing/) })
    {
      await using used = await startService('reporting', { DATABASE_URL: env.DATABASE_URL })
      await eventually(async () => expect(await views(used.url, 'user', 'u')).toBe(1))
      const next = { stream: 's', after: 7, through: 8, views: [viewOf('u', 2)] }
      expect((await fetch(`${used.url}/events`, jsonRequest(next))).status).toBe(200)
    }
    expect(await copy()).toEqual({
      status: 1,
      text: expect.stringMatching(
        /npm run counts: nothing was copied: the database already has counts \(total views: 2; up to 8 in s\)$/,
      ),
    })
    expect(await readFile(join(env.DATA_DIR, FILE))).toEqual(before)
  })

  test('is refused while an instance of reporting uses the checkpoint', async () => {
    await reporting.start()
    try {
      expect(await copy()).toEqual({
        status: 1,
        text: expect.stringMatching(
          /^npm run counts: \S+checkpoint-reporting\.lock is locked: first stop the instance of reporting that uses this DATA_DIR$/,
        ),
      })
    } finally {
      await reporting.signal('SIGTERM')
    }
  })

  test.each([
    [{ DATABASE_URL: '' }, /DATABASE_URL is not set: set it to the database that receives the counts$/],
    [{ DATA_DIR: '/nowhere' }, /there is no \/nowhere\/checkpoint-reporting\.bin: set DATA_DIR to that of reporting$/],
    [
      { VERDICTS_KEPT: '0' },
      /nothing was copied: the checkpoint lacks verdicts .* \(it has 0 of 1\): set VERDICTS_KEPT/,
    ],
    [{ DATABASE_URL: 'postgres://u@127.0.0.1:1/d' }, /nothing was copied: the database failed.*ECONNREFUSED/],
  ])('fails with %j', async (given, text) => {
    expect(await copy(given)).toEqual({ status: 1, text: expect.stringMatching(text) })
  })

  test('keeps as many idempotency keys as KEYS_KEPT allows', async () => {
    await using own = await createTempDirectory('copy-keys')
    const keys = PAGE_RECORDS + 1
    {
      await using used = await startService('reporting', { DATA_DIR: own.path })
      const keyed = Array.from({ length: keys }, (_, n) => ({ ...viewOf('u', n + 1), keyed: true }))
      const batch = { stream: 's', after: 0, through: 1, views: keyed }
      expect((await fetch(`${used.url}/events`, jsonRequest(batch))).status).toBe(200)
      await used.signal('SIGTERM')
    }
    // A checkpoint is trimmed in whole pages. Without the first page, one key is left.
    for (const [KEYS_KEPT, expected] of [
      ['1', 1],
      [String(keys), keys],
    ] as const) {
      const DATABASE_URL = await postgres.createDatabase()
      expect(await copy({ DATA_DIR: own.path, DATABASE_URL, KEYS_KEPT })).toMatchObject({ status: 0 })
      const { rowCount } = await postgres.use(DATABASE_URL, (client) =>
        client.query('select from reporting.keyed_view'),
      )
      expect(rowCount).toBe(expected)
    }
  })

  test('leaves the database empty after kill -9, and can then be repeated', async () => {
    // Creates the tables.
    await using _ = await startService('reporting', { DATABASE_URL: env.DATABASE_URL })
    await eventually(() => stateOf(env.DATABASE_URL))
    await postgres.use(env.DATABASE_URL, async (client) => {
      await client.query('begin; lock table reporting.user_views in share mode')
      const args = [resolve('scripts/counts/main.ts'), 'copy']
      await using child = startChild(process.execPath, args, { env: { ...env, NATS_URL: '', REPORTING_URL: '' } })
      await eventually(async () => {
        const waiting = await client.query(
          `select from pg_locks where not granted and relation = 'reporting.user_views'::regclass`,
        )
        expect(waiting.rowCount).toBe(1)
      })
      await child.signal('SIGKILL')
      await client.query('rollback')
    })
    expect(await stateOf(env.DATABASE_URL)).toEqual({ incarnation: null, views: '0' })
    expect((await copy()).status).toBe(0)
    expect(await stateOf(env.DATABASE_URL)).toEqual({ incarnation: '"s"', views: '1' })
  })
})

describe.skipIf(!natsVersion || !hasPostgres)("moving a system's counts to Postgres", () => {
  test('neither loses a view nor counts one twice, still recognizes duplicates, and can be undone while the log still has the views', async () => {
    await using postgres = await startPostgres()
    const secondPort = await freePort()
    await using system = await startSystem({}, { moreReportings: [`http://127.0.0.1:${secondPort}`] })
    const { play: edge, nats, listener, reporting, env, dataDir } = system
    await warmUp(edge.url)
    const playTimes = async (times: number) => {
      for (let n = 0; n < times; n += 1) expect((await play(edge.url, '456', 'u')).status).toBe(200)
    }
    const imported = [1, 2, 3].map(importedEvent)
    await playTimes(5)
    await publishRaw(nats, imported)
    await fetch(`${reporting.url}/events/asset/direct/user/direct`, { method: 'POST' })
    await eventually(async () => expect(await views(reporting.url, 'user', 'u')).toBe(5))
    await eventually(async () => expect(await views(reporting.url, 'user', 'imported')).toBe(3))
    const position = (await getJson(`${reporting.url}/events/position`)) as Position

    const DATABASE_URL = await postgres.createDatabase()
    const copy = () => runCounts({ DATA_DIR: dataDir, DATABASE_URL }, 'copy')
    expect((await copy()).status).toBe(1)
    await reporting.signal('SIGTERM')
    await playTimes(2)
    expect(await copy()).toMatchObject({
      status: 0,
      text: expect.stringContaining(`up to sequence ${position.sequence} of `),
    })

    const settings = { ...env, DATA_DIR: dataDir, DATABASE_URL }
    await using first = await startService('reporting', settings, Number(new URL(reporting.url).port))
    await using second = await startService('reporting', settings, secondPort)
    await storeAgain(nats, position.sequence)
    await publishRaw(nats, imported)
    await playTimes(4)
    for (const { url } of [first, second]) {
      await expectCurrent(url)
      await eventually(async () => expect(await views(url, 'user', 'u')).toBe(11))
      expect(await views(url, 'user', 'imported')).toBe(3)
      expect(await views(url, 'user', 'direct')).toBe(1)
      expect(await getJson(`${url}/events/lost`)).toEqual({ views: 0, gaps: [] })
    }
    await eventually(async () => expect(await metric(listener.url, /^event_log_lag_messages /)).toBe(0))
    for (const { url } of [first, second]) {
      expect(await views(url, 'user', 'u')).toBe(11)
      expect(await views(url, 'user', 'imported')).toBe(3)
    }
    // The log now contains two copies of each message that was stored before the move.
    expect(
      (await metric(first.url, /^duplicate_views_total /)) + (await metric(second.url, /^duplicate_views_total /)),
    ).toBeGreaterThanOrEqual(8)

    for (const { signal } of [first, second]) await signal('SIGTERM')
    await reporting.start()
    await eventually(async () => expect(await views(reporting.url, 'user', 'u')).toBe(11))
    await playTimes(1)
    await eventually(async () => expect(await views(reporting.url, 'user', 'u')).toBe(12))
    expect(await views(reporting.url, 'user', 'imported')).toBe(3)
  })
})

function viewOf(userId: string, serial = 1) {
  return { id: `${userId}-${serial}`, assetId: 'a', userId, at: new Date().toISOString(), producer: 'p', serial }
}

function importedEvent(n: number): string {
  return JSON.stringify({
    specversion: '1.0',
    id: `import-${n}`,
    source: '/importer',
    type: 'video.viewed',
    data: { assetId: '456', userId: 'imported' },
  })
}

/** Stores the messages up to a sequence again, as a client does if the acknowledgements are lost. */
function storeAgain(nats: Awaited<ReturnType<typeof startSystem>>['nats'], through: number): Promise<void> {
  return nats.use(async (connection) => {
    const [jsm, js] = [await connection.jetstreamManager(), connection.jetstream()]
    for (let seq = 1; seq <= through; seq += 1) {
      const { subject, data } = await jsm.streams.getMessage(STREAM, { seq })
      await js.publish(subject, data)
    }
  })
}
