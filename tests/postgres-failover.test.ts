import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectCurrent, readinessOf } from './harness/counting.ts'
import { eventually } from './harness/eventually.ts'
import { type LiveSubscriber, subscribeLive } from './harness/live-subscriber.ts'
import { natsVersion } from './harness/nats-server.ts'
import { hasPgBouncer, startPgBouncer } from './harness/pgbouncer.ts'
import { expectCounted, startPlayers, sum } from './harness/players.ts'
import { getJson, metric, views, warmUp } from './harness/plays.ts'
import { hasPostgres } from './harness/postgres.ts'
import { type PostgresPair, startPostgresPair } from './harness/postgres-standby.ts'
import { type SharedDatabaseSystem, startSystemOver } from './harness/postgres-system.ts'

const canRun = natsVersion && hasPostgres

describe.skipIf(!canRun)('each play is counted exactly once', () => {
  describe('with a primary and a synchronous standby,', () => {
    let pair: PostgresPair
    let system: SharedDatabaseSystem
    beforeAll(async () => {
      pair = await startPostgresPair()
      system = await startSystemOver(pair.url)
      await warmUp(system.play.url)
    })
    afterAll(async () => {
      await system?.[Symbol.asyncDispose]()
      await pair?.[Symbol.asyncDispose]()
    })

    test('if the primary is killed and the standby is promoted', async () => {
      await using load = await startLoad(system, 'killed')
      await sleep(500)
      await pair.primary().signal('SIGKILL')
      await expectDegraded(system)
      await warmUp(system.play.url, ['reporting'])
      await pair.promote()
      await expectCounting(system)
      await load.expectExact()
    })

    test('if the position moves backwards because the promoted standby had been disconnected', async () => {
      await pair.replaceFormer()
      await using load = await startLoad(system, 'behind')
      await sleep(500)
      await pair.disconnect()
      await sleep(500)
      // Meanwhile, direct counts wait for the standby.
      await expectCounting(system)
      const lostPosition = await positionOf(system)
      await pair.primary().signal('SIGKILL')
      const position = 'select sequence::int from reporting.state'
      const standby = pair.other()
      const { rows } = await standby.use(pair.urlOn(standby), (client) => client.query(position))
      expect(rows[0].sequence).toBeLessThan(lostPosition)
      await pair.promote()
      await expectCounting(system)
      await load.expectExact()
    })

    test('if the primary hangs, and accepts writes again after the standby has been promoted', async () => {
      await pair.replaceFormer()
      await using load = await startLoad(system, 'hanging')
      await sleep(500)
      await pair.primary().signal('SIGSTOP')
      await expectDegraded(system)
      await pair.promote()
      await expectCounting(system)
      const former = pair.other()
      await former.start()
      // Synchronous commits would wait forever on the former primary, because it has no standby.
      await former.use(former.urlOf('postgres'), async (client) => {
        await client.query('alter system reset synchronous_standby_names')
        await client.query('select pg_reload_conf()')
      })
      await system.second.signal('SIGKILL')
      await system.second.start()
      await expectCounting(system)
      const position = () =>
        former.use(pair.urlOn(former), (client) => client.query('select sequence from reporting.state'))
      const { rows } = await position()
      await sleep(500)
      expect((await position()).rows).toEqual(rows)
      await load.expectExact()
    })
  })

  test.skipIf(!hasPgBouncer)('if PgBouncer restarts, and Postgres fails over behind it', async () => {
    await using pair = await startPostgresPair()
    await using pgbouncer = await startPgBouncer(pair.urlOn(pair.primary()))
    await using system = await startSystemOver(pgbouncer.url)
    await warmUp(system.play.url)
    await using load = await startLoad(system, 'pooled')
    await sleep(500)
    await pgbouncer.signal('SIGTERM')
    await expectDegraded(system)
    await pgbouncer.start()
    await expectCounting(system)
    await pair.primary().signal('SIGKILL')
    await expectDegraded(system)
    await pair.promote()
    await pgbouncer.pointTo(pair.urlOn(pair.primary()))
    await expectCounting(system)
    await load.expectExact()
    const query = `select current_setting('statement_timeout') as timeout, current_setting('synchronous_commit') as commit`
    const { rows } = await pair.primary().use(pgbouncer.url, (client) => client.query(query))
    expect(rows).toEqual([{ timeout: '0', commit: 'on' }])
  })
})

const both = ({ reporting, second }: SharedDatabaseSystem) => [reporting.url, second.url]

async function expectDegraded(system: SharedDatabaseSystem): Promise<void> {
  for (const url of both(system))
    await eventually(async () => expect((await readinessOf(url)).dependencies).toMatchObject({ postgres: 'down' }))
}

/** Waits until both instances are up and the position advances. */
async function expectCounting(system: SharedDatabaseSystem): Promise<void> {
  for (const url of both(system))
    await eventually(async () => expect((await readinessOf(url)).dependencies).toMatchObject({ postgres: 'up' }))
  const position = await eventually(() => positionOf(system))
  await eventually(async () => expect(await positionOf(system)).toBeGreaterThan(position))
  for (const url of both(system)) await expectCurrent(url)
}

async function positionOf({ reporting }: SharedDatabaseSystem): Promise<number> {
  const { sequence } = (await getJson(`${reporting.url}/events/position`)) as { sequence?: number }
  if (sequence === undefined) throw new Error('the database is down')
  return sequence
}

/** Starts players and direct counts of users with a common prefix, and subscribers to both instances. */
async function startLoad(system: SharedDatabaseSystem, name: string) {
  await using stack = new AsyncDisposableStack()
  const live: LiveSubscriber[] = []
  for (const url of both(system)) live.push(stack.use(await subscribeLive(`${url}/events/live`)))
  const players = startPlayers(system.play.url, { count: 4, seed: 1, prefix: `${name}-` })
  const direct = startDirectCounts(both(system), `${name}-direct`)
  const resources = stack.move()

  return {
    /** Stops the load, and verifies that both instances count each play and each acknowledged direct count. */
    async expectExact(): Promise<void> {
      const [outcomes, { acknowledged, failed }] = await Promise.all([players.stop(), direct.stop()])
      expect(sum(outcomes.users)).toMatchObject({ cutOff: 0, rejected: 0 })
      expect(outcomes.slowestMs).toBeLessThan(1_000)
      expect(acknowledged).toBeGreaterThan(0)
      await eventually(async () => expect(await metric(system.play.url, /^outbox_waiting_views /)).toBe(0))
      for (const url of both(system)) {
        await expectCurrent(url)
        await eventually(() => expectCounted(url, 'user', outcomes.users))
        const count = await views(url, 'user', `${name}-direct`)
        expect(count).toBeGreaterThanOrEqual(acknowledged)
        expect(count).toBeLessThanOrEqual(acknowledged + failed)
        expect(await getJson(`${url}/events/lost`)).toEqual({ views: 0, gaps: [] })
      }
      const [top, other] = await Promise.all(both(system).map((url) => getJson(`${url}/events/top?by=user&limit=100`)))
      expect(other).toEqual(top)
      const [first] = (top as { top: unknown[] }).top
      for (const { seen } of live.filter(({ hasEnded }) => !hasEnded()))
        await eventually(() => expect(first).toMatchObject(seen()?.users[0] ?? { id: undefined }))
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([players.stop(), direct.stop()])
      await resources.disposeAsync()
    },
  }
}

/** Counts views without the log, through each instance in turn. */
function startDirectCounts(reportings: string[], user: string) {
  const stopping = new AbortController()
  const counting = (async () => {
    const outcomes = { acknowledged: 0, failed: 0 }
    for (let n = 0; !stopping.signal.aborted; n += 1) {
      const url = `${reportings[n % reportings.length]}/events/asset/direct/user/${user}`
      const response = await fetch(url, { method: 'POST' }).catch(() => undefined)
      outcomes[response?.status === 200 ? 'acknowledged' : 'failed'] += 1
      await sleep(20)
    }
    return outcomes
  })()
  return {
    stop() {
      stopping.abort()
      return counting
    },
  }
}
