import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startChild } from './child.ts'
import { unlessCiNeeds } from './ci-needs.ts'
import { eventually } from './eventually.ts'
import { freePort } from './ports.ts'

/** Whether there is a Prometheus server to test with. */
export const hasPrometheus = unlessCiNeeds('prometheus', spawnSync('prometheus', ['--version']).status === 0)

/** Whether there is its tool, which checks metrics, configurations and rules. */
export const hasPromtool = unlessCiNeeds('promtool', spawnSync('promtool', ['--version']).status === 0)

/** What a query found: a number for each time at which a series has one, NaN among them. */
export type Series = { labels: Record<string, string>; values: number[] }

export type PrometheusServer = AsyncDisposable & {
  /** Evaluates an expression now. */
  query(expr: string): Promise<Series[]>
  /** Evaluates an expression for each quarter of a second since the server was started, as a panel does. */
  queryAll(expr: string): Promise<Series[]>
  /** Calls its HTTP interface (https://prometheus.io/docs/prometheus/latest/querying/api/). */
  call(path: string, parameters?: Record<string, string>): Promise<unknown>
}

/** A real Prometheus server on a free port, with a configuration and data of its own. */
export async function startPrometheus({ config }: { config: string }): Promise<PrometheusServer> {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'prometheus-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'prometheus.yml')
  await writeFile(file, config)
  const address = `127.0.0.1:${await freePort()}`
  const flags = { 'config.file': file, 'storage.tsdb.path': join(folder, 'data'), 'web.listen-address': address }
  const started = Date.now()
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
  const child = stack.use(startChild('prometheus', args))
  await eventually(async () => {
    if (!child.isRunning()) throw new Error(`prometheus ended:\n${child.lines.join('\n')}`)
    if (!(await fetch(`http://${address}/-/ready`)).ok) throw new Error('prometheus is not ready')
  })

  const call: PrometheusServer['call'] = async (path, parameters = {}) => {
    const response = await fetch(`http://${address}/api/v1${path}?${new URLSearchParams(parameters)}`)
    const { data, error } = (await response.json()) as { data?: unknown; error?: string }
    if (error) throw new Error(`prometheus answered ${response.status} to ${JSON.stringify(parameters)}: ${error}`)
    return data
  }

  const all = stack.move()
  return {
    call,
    async query(query) {
      return seriesOf(await call('/query', { query }))
    },
    async queryAll(query) {
      const range = { start: String(started / 1_000), end: String(Date.now() / 1_000), step: '250ms' }
      return seriesOf(await call('/query_range', { query, ...range }))
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

type Sample = [time: number, value: string]
type Result = { metric: Record<string, string>; value?: Sample; values?: Sample[] }

function seriesOf(data: unknown): Series[] {
  const { result } = data as { result: Result[] }
  return result.map(({ metric, value, values = value ? [value] : [] }) => ({
    labels: metric,
    values: values.map(([, number]) => Number(number)),
  }))
}
