import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Position } from '../shared/contracts/position.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { runAudit } from './harness/audit-command.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, play, views, warmUp } from './harness/plays.ts'
import { hasPostgres } from './harness/postgres.ts'
import { type PostgresSystem, startPostgresSystem } from './harness/postgres-system.ts'
import { publishRaw } from './harness/raw-messages.ts'
import { type System, startSystem } from './harness/system.ts'

const AGREES = { status: 0, text: expect.stringMatching(/reporting agrees with the log\.$/) }

describe.skipIf(!natsVersion)('npm run audit', () => {
  let system: System
  beforeAll(async () => {
    system = await startSystem()
    await warmUp(system.play.url)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('finds no difference, even after a direct view and a dead letter', async () => {
    for (const userId of ['8', '8', '9']) await play(system.play.url, '456', userId)
    await publishRaw(system.nats, ['not json'])
    const direct = await fetch(`${system.reporting.url}/events/asset/456/user/8`, { method: 'POST' })
    expect(direct.status).toBe(200)
    await eventually(async () => expect(await views(system.reporting.url, 'user', '9')).toBe(1))
    await eventually(async () =>
      expect(await getJson(`${system.reporting.url}/events/audit`)).toMatchObject({
        direct: 1,
        rejected: 1,
        notQualified: { repeat: expect.any(Number) },
        waiting: 0,
      }),
    )
    expect(await runAudit(system.env)).toMatchObject(AGREES)
  })

  test('finds no difference while plays continue', async () => {
    const stopping = new AbortController()
    const playing = Promise.all(
      Array.from({ length: 4 }, async (_, n) => {
        while (!stopping.signal.aborted) await play(system.play.url, '123', `player-${n}`)
      }),
    )
    expect(await runAudit(system.env)).toMatchObject(AGREES)
    stopping.abort()
    await playing
  })

  test('compares only the verdicts of messages in the given range', async () => {
    const { text } = await runAudit(system.env, '--from', '1', '--to', '2')
    expect(text).toMatch(/, [0-4] verdicts?\n/)
    expect(await runAudit(system.env, '--from', 'x')).toMatchObject({
      status: 2,
      text: expect.stringContaining('--from'),
    })
  })

  test.each([
    [['--from', '5', '--to', '3'], 2, /^npm run audit: --from is 5, which is after --to 3$/],
    [['--from', '1000000'], 1, /^npm run audit: no message in this range: reporting has counted sequences 1 to \d+$/],
  ])('does not report agreement if %j selects no message', async (args, status, text) => {
    expect(await runAudit(system.env, ...args)).toEqual({ status, text: expect.stringMatching(text) })
  })

  test('says why it cannot audit', async () => {
    const unreachable = 'http://127.0.0.1:9'
    expect(await runAudit({ ...system.env, REPORTING_URL: unreachable })).toMatchObject({
      status: 1,
      text: expect.stringContaining(`no response from ${unreachable}`),
    })
    expect(await runAudit({ ...system.env, NATS_URL: 'nats://127.0.0.1:9' })).toMatchObject({
      status: 1,
      text: expect.stringContaining('the log is not available'),
    })
  })

  test('prints an id with control characters and line breaks on a single line', async () => {
    const id = 'id\u001b[2K\nreporting agrees with the log.'
    const view = { assetId: '456', userId: 'repeater', at: new Date().toISOString() }
    await system.listener.signal('SIGSTOP')
    const { stream, sequence } = (await getJson(`${system.reporting.url}/events/position`)) as Position
    const repeated = [
      { ...view, id: 'before' },
      { ...view, id },
    ]
    const batch = { stream, after: sequence, through: sequence + 1, views: repeated }
    expect((await fetch(`${system.reporting.url}/events`, jsonRequest(batch))).status).toBe(200)
    await system.listener.signal('SIGCONT')
    const event = { specversion: '1.0', id, source: '/tv', type: 'video.viewed' }
    await publishRaw(system.nats, [JSON.stringify({ ...event, data: { assetId: '456', userId: 'once' } })])
    const { status, text } = await runAudit(system.env)
    expect(status).toBe(1)
    expect(text).toContain('view id\\u001b[2K reporting agrees with the log. is not-qualified')
    expect(text).not.toMatch(/^reporting agrees/m)
  })

  test('finds a view that reporting missed because it had counted a forged view in its place', async () => {
    const position = (await getJson(`${system.reporting.url}/events/position`)) as Position
    await system.listener.signal('SIGSTOP')
    const { stream, sequence } = position
    const forged = { id: 'forged', assetId: '456', userId: 'forger', at: new Date().toISOString() }
    const batch = { stream, after: sequence, through: sequence + 1, views: [forged] }
    expect((await fetch(`${system.reporting.url}/events`, jsonRequest(batch))).status).toBe(200)
    await system.listener.signal('SIGCONT')
    await play(system.play.url, '456', 'missed')
    const { status, text } = await runAudit(system.env)
    expect(status).toBe(1)
    expect(text).toMatch(/user missed: views: reporting has 0, the log has 1/)
  })
})

describe.skipIf(!natsVersion || !hasPostgres)('npm run audit with the counts in Postgres', () => {
  let system: PostgresSystem
  beforeAll(async () => {
    system = await startPostgresSystem()
    await warmUp(system.play.url)
    for (const userId of ['8', '8', '9']) await play(system.play.url, '456', userId)
    await eventually(async () => expect(await views(system.reporting.url, 'user', '9')).toBe(1))
  })
  afterAll(() => system?.[Symbol.asyncDispose]())
  beforeEach(async () => {
    expect(await runAudit(system.env)).toMatchObject(AGREES)
  })

  test.each([
    ["update reporting.asset_views set views = views + 1 where id = '456'", 'asset 456: views: reporting has'],
    ["update reporting.user_views set qualified = qualified - 1 where id = '9'", 'user 9: qualified: reporting has 0'],
    ["update reporting.asset_views set viewers = viewers + 1 where id = '456'", 'asset 456: viewers: reporting has'],
    ["update reporting.series set views = views - 1 where step = 'd' and asset_id = ''", ': views: reporting has'],
    ["update reporting.series set views = views - 1 where step = 'd' and asset_id = '456'", 'asset 456, day 20'],
    ['update reporting.state set retried = retried + 1', 'retried: reporting has 1, the log has 0'],
    ['update reporting.state set views = views + 1', 'views: reporting has'],
    ['update reporting.state set qualified = qualified + 1', 'pending: reporting has -1, the log has 0'],
  ])('finds the difference after %s', async (statement, difference) => {
    const run = (sql: string) => system.postgres.use(system.databaseUrl, (client) => client.query(sql))
    await run(statement)
    expect(await runAudit(system.env)).toMatchObject({ status: 1, text: expect.stringContaining(difference) })
    await run(statement.replace(/([+-]) 1/, (_, sign) => `${sign === '+' ? '-' : '+'} 1`))
  })
})
