import { randomUUID } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { postAsset } from './harness/assets.ts'
import { runAudit } from './harness/audit-command.ts'
import { runCounts } from './harness/counts-command.ts'
import { startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { startIdentityProvider } from './harness/identity-provider.ts'
import { explain, playAs } from './harness/keyed-plays.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, metric, warmUp } from './harness/plays.ts'
import { hasPostgres } from './harness/postgres.ts'
import { startPostgresSystem } from './harness/postgres-system.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

type Url = { url: string }

async function report({ url }: Url, viewId: string, body: object, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/play/watched/${viewId}`, jsonRequest(body, headers))
  await response.body?.cancel()
  return response.status
}

async function play({ url }: Url, userId: string, assetId = '456'): Promise<string> {
  const { status, viewId } = await playAs(url, userId, { assetId })
  expect(status).toBe(200)
  return viewId ?? ''
}

const expectVerdict = ({ url }: Url, viewId: string, expected: object) =>
  eventually(async () => expect((await explain(url, viewId)).body).toMatchObject({ state: 'counted', ...expected }))

describe.skipIf(!natsVersion)('under the v2 rules,', () => {
  const stack = new AsyncDisposableStack()
  let system: System
  let otherEdge: ServiceProcess
  let userId = ''
  beforeAll(async () => {
    system = stack.use(await startSystem({ VIEW_RULES: 'v2', CHECKPOINT_EVERY: '100ms' }))
    otherEdge = stack.use(await startService('play', system.env))
    await Promise.all([system.play, otherEdge].map(({ url }) => warmUp(url)))
  })
  beforeEach(() => {
    userId = randomUUID()
  })
  afterAll(() => stack.disposeAsync())

  const audit = () => getJson(`${system.reporting.url}/events/audit`)
  const seconds = (value: number) => ({ assetId: '456', userId, seconds: value })

  test('a view is pending at first, and qualifies only once, even if 31 s are reported repeatedly', async () => {
    const viewId = await play(system.play, userId)
    await expectVerdict(system.play, viewId, {
      verdict: 'pending',
      reason: 'watch-time',
      rule: 'v2',
      secondsWatched: null,
    })
    const before = await audit()
    for (let n = 0; n < 3; n += 1) expect(await report(system.play, viewId, seconds(31))).toBe(202)
    await expectVerdict(system.play, viewId, {
      verdict: 'qualified',
      reason: null,
      secondsWatched: 31,
      summary: 'Qualified: 31 s were watched, and 30 s are required.',
    })
    const { qualified, pending } = before as { qualified: number; pending: number }
    expect(await audit()).toMatchObject({ qualified: qualified + 1, pending: pending - 1 })
    expect(await getJson(`${system.reporting.url}/events/user/${userId}`)).toMatchObject({ views: 1, qualified: 1 })
  })

  test('the longest reported time counts, whatever the order of the reports and whichever edge receives them', async () => {
    const viewId = await play(system.play, userId)
    expect(await report(otherEdge, viewId, seconds(29.5))).toBe(202)
    expect(await report(system.play, viewId, seconds(12))).toBe(202)
    await expectVerdict(system.play, viewId, { verdict: 'pending', secondsWatched: 29.5 })
  })

  test('a view of a short asset qualifies after half of its duration is watched', async () => {
    await postAsset(system, { id: 'short', title: 'Short', url: 'short.mp4', duration: 20 })
    const viewId = await play(system.play, userId, 'short')
    expect(await report(system.play, viewId, { assetId: 'short', userId, seconds: 10 })).toBe(202)
    await expectVerdict(system.play, viewId, { verdict: 'qualified', secondsWatched: 10, secondsRequired: 10 })
  })

  test('a report for another asset, user or view has no effect, and does not become a dead letter', async () => {
    const ignored = () => metric(system.reporting.url, /^ignored_watch_reports_total/)
    const viewId = await play(system.play, userId)
    await expectVerdict(system.play, viewId, { verdict: 'pending' })
    const before = await ignored()
    expect(await report(system.play, viewId, { ...seconds(31), assetId: '123' })).toBe(202)
    expect(await report(system.play, viewId, { ...seconds(31), userId: 'other' })).toBe(202)
    expect(await report(system.play, randomUUID(), seconds(31))).toBe(202)
    await eventually(async () => expect(await ignored()).toBe(before + 3))
    await expectVerdict(system.play, viewId, { verdict: 'pending', secondsWatched: null })
    expect(await getJson(`${system.listener.url}/dead-letters`)).toMatchObject({ deadLetters: [] })
  })

  test('a report whose view is still in the outbox of another edge takes effect as soon as the view is in the log', async () => {
    await system.nats.signal('SIGKILL')
    const viewId = await play(otherEdge, userId)
    await otherEdge.signal('SIGKILL')
    await system.nats.start()
    await warmUp(system.play.url)
    expect(await report(system.play, viewId, seconds(31))).toBe(202)
    await eventually(async () => expect(await metric(system.play.url, /^outbox_waiting_views/)).toBe(0))
    await otherEdge.start()
    await expectVerdict(system.play, viewId, { verdict: 'qualified', secondsWatched: 31 })
  })

  test('a report during a NATS outage stays in the outbox, even after kill -9 of the edge', async () => {
    const viewId = await play(system.play, userId)
    await expectVerdict(system.play, viewId, { verdict: 'pending' })
    await system.nats.signal('SIGKILL')
    expect(await report(system.play, viewId, seconds(31))).toBe(202)
    await system.play.signal('SIGKILL')
    await system.nats.start()
    await system.play.start()
    await expectVerdict(system.play, viewId, { verdict: 'qualified', secondsWatched: 31 })
  })

  test('after kill -9, reporting has the same numbers and verdicts, and continues to count', async () => {
    const viewId = await play(system.play, userId)
    expect(await report(system.play, viewId, seconds(20))).toBe(202)
    await expectVerdict(system.play, viewId, { verdict: 'pending', secondsWatched: 20 })
    await eventually(async () => expect(await metric(system.reporting.url, /^checkpoint_age_seconds/)).toBe(0))
    const before = await audit()
    await system.reporting.signal('SIGKILL')
    await system.reporting.start()
    await eventually(async () => expect(await audit()).toEqual(before))
    await using replayed = await startService('reporting', { ...system.env, CHECKPOINT_EVERY: '0s' })
    await using _ = await startService('queue-listener', { ...system.env, REPORTING_URL: replayed.url })
    await eventually(async () => expect(await getJson(`${replayed.url}/events/audit`)).toEqual(before))
    expect(await report(system.play, viewId, seconds(30))).toBe(202)
    await expectVerdict(system.play, viewId, { verdict: 'qualified', secondsWatched: 30 })
    const { points } = (await getJson(`${system.reporting.url}/events/series?step=day`)) as {
      points: { secondsWatched: number }[]
    }
    expect(points.at(-1)?.secondsWatched).toBeGreaterThan(31 + 30)
  })

  test('npm run audit agrees with the log, and a recount under v1 has no pending views', async () => {
    expect(await runAudit(system.env)).toMatchObject({
      status: 0,
      text: expect.stringMatching(/agrees with the log\.$/),
    })
    await using directory = await createTempDirectory('recount')
    const { status, text } = await runCounts({ ...system.env, DATA_DIR: directory.path }, 'recount', '--rules', 'v1')
    expect([status, text]).toEqual([0, expect.stringMatching(/^pending +[1-9]\d* +0 +-/m)])
  })
})

test('under the v1 rules, watch-time reports have no effect', async () => {
  await using system = await startEmbedded()
  await warmUp(system.play.url)
  const viewId = await play(system.play, 'u')
  expect(await report(system.play, viewId, { assetId: '456', userId: 'u', seconds: 31 })).toBe(202)
  const unused = /^ignored_watch_reports_total{reason="unused"}/
  await eventually(async () => expect(await metric(system.reporting.url, unused)).toBe(1))
  await expectVerdict(system.play, viewId, { verdict: 'qualified', rule: 'v1' })
  expect((await explain(system.play.url, viewId)).body).not.toHaveProperty('secondsWatched')
})

test('with an identity provider, a report needs a token for its user', async () => {
  await using provider = await startIdentityProvider()
  await using system = await startEmbedded({ ...provider.settings, VIEW_RULES: 'v2' })
  await eventually(async () => expect((await fetch(`${system.play.url}/readyz`)).status).toBe(200))
  const body = { assetId: '456', userId: 'alice', seconds: 31 }
  const bearer = async (sub: string) => ({ authorization: `Bearer ${await provider.sign({ sub })}` })
  expect(await report(system.play, 'view', body)).toBe(401)
  expect(await report(system.play, 'view', body, await bearer('bob'))).toBe(403)
  expect(await report(system.play, 'view', body, await bearer('alice'))).toBe(202)
})

describe.skipIf(!natsVersion || !hasPostgres)('with watch time in Postgres,', () => {
  test('two instances and the audit agree on views and reports, even if one instance is killed meanwhile', async () => {
    await using system = await startPostgresSystem({ VIEW_RULES: 'v2' })
    await warmUp(system.play.url)
    const watched = await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        if (n === 20) await system.second.signal('SIGKILL')
        const userId = `watcher-${n}`
        const viewId = await play(system.play, userId)
        for (const seconds of [10, n % 2 === 0 ? 30 : 29])
          expect(await report(system.play, viewId, { assetId: '456', userId, seconds })).toBe(202)
        return { viewId, seconds: n % 2 === 0 ? 30 : 29 }
      }),
    )
    await system.second.start()
    for (const { viewId, seconds } of watched) {
      const verdict = seconds === 30 ? 'qualified' : 'pending'
      await expectVerdict(system.play, viewId, { verdict, secondsWatched: seconds })
    }
    const audits = [system.reporting, system.second].map(({ url }) => getJson(`${url}/events/audit`))
    for (const audit of await Promise.all(audits)) expect(audit).toMatchObject({ qualified: 20, notQualified: {} })
    expect(await runAudit(system.env)).toMatchObject({ status: 0 })
  })

  test('a recount needs different rules and a separate database, and can be repeated', async () => {
    await using system = await startPostgresSystem({ VIEW_RULES: 'v2' })
    await warmUp(system.play.url)
    const viewId = await play(system.play, randomUUID())
    await expectVerdict(system.play, viewId, { verdict: 'pending' })
    await using directory = await createTempDirectory('recount')
    const recount = (rules: string, DATABASE_URL = '') =>
      runCounts({ ...system.env, DATA_DIR: directory.path, DATABASE_URL }, 'recount', '--rules', rules)
    const refused = (text: RegExp) => ({ status: 1, text: expect.stringMatching(text) })
    expect(await recount('v2')).toEqual(refused(/^npm run counts: reporting already uses the view rules v2$/))
    expect(await readdir(directory.path)).toEqual([])
    expect(await recount('v1', system.databaseUrl)).toEqual(
      refused(/^npm run counts: DATABASE_URL cannot be used: the views in the database were judged by .* v2, .*\)$/),
    )
    expect(await recount('v1', 'postgres://u@127.0.0.1:1/d')).toEqual(
      refused(/^npm run counts: DATABASE_URL cannot be used: the database failed: .*ECONNREFUSED 127\.0\.0\.1:1$/),
    )
    for (let times = 0; times < 2; times += 1) {
      expect(await recount('v1')).toEqual({ status: 0, text: expect.stringMatching(/^pending +[1-9]\d* +0 +-/m) })
    }
  })
})
