import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serviceEntries } from '../services.ts'
import { STREAM } from '../shared/event-log/stream.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { metricsIn, panelsOf, queriesOf, readDashboard, substitute, variableQueriesOf } from './harness/dashboard.ts'
import { eventually } from './harness/eventually.ts'
import { type IdentityProvider, startIdentityProvider } from './harness/identity-provider.ts'
import { subscribeLive } from './harness/live-subscriber.ts'
import { natsVersion } from './harness/nats-server.ts'
import { play } from './harness/plays.ts'
import { freePort } from './harness/ports.ts'
import { hasPostgres, type PostgresServer, startPostgres } from './harness/postgres.ts'
import { hasPrometheus, type PrometheusServer, startPrometheus } from './harness/prometheus-server.ts'
import { type ServiceProcess, startService } from './harness/service-process.ts'
import { type System, startSystem } from './harness/system.ts'

const SCRAPE_INTERVAL = '500ms'
/** Four scrape intervals, the minimum that Grafana uses. */
const variables = { __rate_interval: '2s' }

const dashboard = await readDashboard('deploy/grafana/play.json')

test('every panel has a unique id and position, a title, a description and a unit', () => {
  const ids = dashboard.panels.map(({ id }) => id)
  expect(panelsOf(dashboard).length).toBeGreaterThan(5)
  expect(ids).toEqual([...new Set(ids)])
  const places = dashboard.panels.map(({ gridPos: { x, y } }) => `${x},${y}`)
  expect(places).toEqual([...new Set(places)])
  for (const { title, description, fieldConfig } of panelsOf(dashboard)) {
    expect({ title, description, unit: fieldConfig?.defaults.unit }).toEqual({
      title: expect.stringMatching(/./),
      description: expect.stringMatching(/\.$/),
      unit: expect.stringMatching(/./),
    })
  }
})

test('every query filters by the selected services and instances, and rates use $__rate_interval', () => {
  for (const { expr } of queriesOf(dashboard)) {
    const selectors = expr.match(/{[^}]*}/g)?.length ?? 0
    expect(selectors, expr).toBeGreaterThan(0)
    expect(expr.match(/job=~"\$job", instance=~"\$instance"}/g)?.length, expr).toBe(selectors)
    for (const [, range] of expr.matchAll(/\[(.*?)\]/g)) expect(range).toBe('$__rate_interval')
  }
})

describe.skipIf(!natsVersion || !hasPrometheus || !hasPostgres)(
  'on the dashboard of a system that has had several outages,',
  () => {
    let system: System
    let prometheus: PrometheusServer
    let postgres: PostgresServer
    /** A reporting instance that keeps its counts in Postgres, and gets no views from queue-listener. */
    let second: ServiceProcess
    /** An instance of play that trusts an identity provider. */
    let identified: ServiceProcess
    let provider: IdentityProvider

    beforeAll(async () => {
      system = await startSystem({ CATALOGUE_TTL: '100ms', CHECKPOINT_EVERY: '500ms' })
      postgres = await startPostgres()
      const database = await postgres.createDatabase()
      second = await startService('reporting', { DATABASE_URL: database }, await freePort())
      // Plays of this asset fail, because it has no metadata.
      await fetch(`${system.cdnurl.url}/url/asset/half-known`, jsonRequest({ url: 'path/to/half-known.mp4' }))
      provider = await startIdentityProvider()
      identified = await startService('play', { ...system.env, ...provider.settings }, await freePort())
      prometheus = await startPrometheus({
        config: await shippedConfig(system, { reporting: second, play: identified }),
      })
      await using _subscriber = await subscribeLive(`${system.play.url}/live`)
      const stopping = new AbortController()
      const players = ['123', '456', 'half-known'].map((assetId) => keepPlaying(system, assetId, stopping.signal))
      try {
        await shows(`sum(up) == ${serviceEntries.length + 2} and sum(rate(counted_views_total[2s])) > 0`)
        await eventually(async () => expect(await prometheus.query('ALERTS')).toEqual([]))
        await breakThings(system, shows)
        await breakPostgres({ postgres, database, second }, shows)
        await loseUncounted(system, shows)
      } finally {
        stopping.abort()
        await Promise.all(players)
      }
    })
    afterAll(async () => {
      await prometheus?.[Symbol.asyncDispose]()
      await identified?.[Symbol.asyncDispose]()
      await provider?.[Symbol.asyncDispose]()
      await second?.[Symbol.asyncDispose]()
      await postgres?.[Symbol.asyncDispose]()
      await system?.[Symbol.asyncDispose]()
    })

    const shows = (expr: string) => eventually(async () => expect(await prometheus.query(expr), expr).not.toEqual([]))

    test.each(queriesOf(dashboard))('$panel shows $legendFormat', async ({ expr, legendFormat }) => {
      const series = await prometheus.queryAll(substitute(dashboard, expr, variables))
      expect(series.flatMap(({ values }) => values).filter((value) => value > 0)).not.toEqual([])
      const shown = [...legendFormat.matchAll(/{{(\w+)}}/g)].map(([, label]) => label)
      for (const { labels } of series) expect(Object.keys(labels)).toEqual(expect.arrayContaining(shown))
    })

    test.each(variableQueriesOf(dashboard))(
      'the variable $name has a value for each service',
      async ({ selector, label }) => {
        const series = await prometheus.query(substitute(dashboard, selector, variables))
        expect(new Set(series.map(({ labels }) => labels[label])).size).toBeGreaterThanOrEqual(serviceEntries.length)
      },
    )

    test('the outages triggered their alerts', async () => {
      // Retry, because the last step of the query range may precede the last alert.
      await eventually(async () => {
        const alerts = await prometheus.queryAll('ALERTS')
        expect(alerts.map(({ labels }) => labels.alertname)).toEqual(expect.arrayContaining(OUTAGE_ALERTS))
      })
    })

    test('every rule can be evaluated, and every metric in it exists', async () => {
      const rules = await rulesOf(prometheus)
      expect(rules.length).toBeGreaterThan(0)
      for (const { name, query, health, lastError } of rules) {
        expect({ name, health, lastError }).toEqual({ name, health: 'ok', lastError: undefined })
        for (const metric of metricsIn(query)) expect(await prometheus.queryAll(metric), metric).not.toEqual([])
      }
    })
  },
)

/** The configuration in deploy/ with the targets of the test system and a shorter scrape interval. */
async function shippedConfig(system: System, more: Record<string, ServiceProcess>): Promise<string> {
  const hosts = new Map(
    serviceEntries.map(({ name, port }) => [`127.0.0.1:${port}`, new URL(system[name].url).host] as const),
  )
  const config = await readFile('deploy/prometheus.yml', 'utf8')
  const moved = config
    .replaceAll(/'(127\.0\.0\.1:\d+)'/g, (_, target) => hosts.get(target) ?? '')
    .replaceAll('15s', SCRAPE_INTERVAL)
    .replace('alerts.yml', resolve('deploy/alerts.yml'))
  return Object.entries(more).reduce((text, [name, { url }]) => {
    return text.replace(new RegExp(`(job_name: ${name}\\n.*\\n.*targets: \\[)`), `$1'${new URL(url).host}', `)
  }, moved)
}

async function keepPlaying(system: System, assetId: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await play(system.play.url, assetId, 'watched')
    await sleep(5)
  }
}

/** Alerts that must be pending or firing: the ALERTS series includes both states. */
const OUTAGE_ALERTS = [
  'CircuitOpen',
  'ErrorsOverOnePercent',
  'LogTruncated',
  'OutboxNotDraining',
  'PostgresDown',
  'RejectedMessages',
  'ServiceDown',
]

/** Causes each condition that panels and alerts show, and waits until Prometheus shows it. */
async function breakThings(system: System, shows: (expr: string) => Promise<void>): Promise<void> {
  await system.nats.use((connection) => connection.jetstream().publish('events.view.broken', 'not a batch of views'))
  const conflicting = { stream: '2000-01-01T00:00:00Z', after: 7, through: 8, views: [] }
  await fetch(`${system.reporting.url}/events`, jsonRequest(conflicting))
  await shows('rejected_messages_total > 0 and on () event_batches_total{outcome="refused"} > 0')
  for (const service of [system.metadata, system.reporting]) await service.signal('SIGKILL')
  await shows('sum(circuit_breaker_state{state="open", upstream=~"metadata|reporting"}) == 2')
  await shows('event_log_lag_seconds > 0')
  await shows('ALERTS{alertname="CircuitOpen"}')
  await shows('ALERTS{alertname="ErrorsOverOnePercent"}')
  for (const service of [system.metadata, system.reporting]) await service.start()
  await system.nats.signal('SIGKILL')
  await shows('ALERTS{alertname="OutboxNotDraining"}')
  await system.nats.start()
  await shows('outbox_waiting_views == 0')
}

type Store = { postgres: PostgresServer; database: string; second: ServiceProcess }

/** Causes a deadlock between one of reporting's statements and this client, then kills Postgres. */
async function breakPostgres({ postgres, database, second }: Store, shows: (expr: string) => Promise<void>) {
  const count = () => fetch(`${second.url}/events/asset/a/user/u`, { method: 'POST' })
  await eventually(async () => expect((await count()).status).toBe(200))
  await postgres.use(database, async (client) => {
    // With this long timeout, reporting's connection detects the deadlock first, and rolls its transaction back.
    await client.query(`set deadlock_timeout = '1min'`)
    await client.query(`begin; select from reporting.user_views where id = 'u' for update`)
    const counting = count()
    await eventually(async () => {
      const waiting = await client.query('select from pg_locks where not granted')
      expect(waiting.rowCount).toBe(1)
    })
    await client.query('select from reporting.state for update')
    await client.query('commit')
    expect((await counting).status).toBe(200)
  })
  await shows('database_retries_total{code="40P01"} > 0')
  await postgres.signal('SIGKILL')
  await shows('database_up == 0')
  await shows('ALERTS{alertname="PostgresDown"}')
  await postgres.start()
  await shows('database_up == 1')
}

/** Purges the log while it contains views that are not counted yet. */
async function loseUncounted({ listener, nats }: System, shows: (expr: string) => Promise<void>) {
  await listener.signal('SIGKILL')
  await sleep(500)
  await nats.use(async (connection) => (await connection.jetstreamManager()).streams.purge(STREAM))
  await listener.start()
  await shows('event_log_missing_messages > 0')
  await shows('ALERTS{alertname="LogTruncated"}')
}

type Rule = { name: string; query: string; health: string; lastError?: string }

async function rulesOf(prometheus: PrometheusServer): Promise<Rule[]> {
  const { groups } = (await prometheus.call('/rules')) as { groups: { rules: Rule[] }[] }
  return groups.flatMap(({ rules }) => rules)
}
