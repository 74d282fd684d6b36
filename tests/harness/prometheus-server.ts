import { spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startChild } from './child.ts'
import { failIfCiNeeds } from './ci-needs.ts'
import { freePort } from './ports.ts'
import { withResources } from './resources.ts'
import { createTempDirectory } from './temp-directory.ts'

/** True if Prometheus is installed. */
export const hasPrometheus = failIfCiNeeds('prometheus', spawnSync('prometheus', ['--version']).status === 0)

/** True if promtool is installed. promtool checks metrics, configurations and rules. */
export const hasPromtool = failIfCiNeeds('promtool', spawnSync('promtool', ['--version']).status === 0)

/** A series returned by a query, with its values in chronological order, which may include NaN. */
export type Series = { labels: Record<string, string>; values: number[] }

export type PrometheusServer = AsyncDisposable & {
  /** Evaluates an expression at the current time. */
  query(expr: string): Promise<Series[]>
  /** Evaluates an expression over time, as a panel does: every 250 ms since the server started. */
  queryAll(expr: string): Promise<Series[]>
  /** Calls the Prometheus HTTP API (https://prometheus.io/docs/prometheus/latest/querying/api/). */
  call(path: string, parameters?: Record<string, string>): Promise<unknown>
}

/** Starts a real Prometheus server without data, on a free port. */
export async function startPrometheus({ config }: { config: string }): Promise<PrometheusServer> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('prometheus'))
  const file = join(directory.path, 'prometheus.yml')
  await writeFile(file, config)
  const address = `127.0.0.1:${await freePort()}`
  const flags = {
    'config.file': file,
    'storage.tsdb.path': join(directory.path, 'data'),
    'web.listen-address': address,
  }
  const startedAt = Date.now()
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`)
  const child = stack.use(startChild('prometheus', args))
  await child.ready(async () => {
    if (!(await fetch(`http://${address}/-/ready`)).ok) throw new Error('prometheus is not ready')
  })

  const call: PrometheusServer['call'] = async (path, parameters = {}) => {
    const response = await fetch(`http://${address}/api/v1${path}?${new URLSearchParams(parameters)}`)
    const { data, error } = (await response.json()) as { data?: unknown; error?: string }
    if (error) throw new Error(`Prometheus returned ${response.status} for ${JSON.stringify(parameters)}: ${error}`)
    return data
  }

  const server = {
    call,
    async query(query: string) {
      return toSeries(await call('/query', { query }))
    },
    async queryAll(query: string) {
      const range = { start: String(startedAt / 1_000), end: String(Date.now() / 1_000), step: '250ms' }
      return toSeries(await call('/query_range', { query, ...range }))
    },
  }
  return withResources(server, stack)
}

type Sample = [time: number, value: string]
type Result = { metric: Record<string, string>; value?: Sample; values?: Sample[] }

function toSeries(data: unknown): Series[] {
  const { result } = data as { result: Result[] }
  return result.map(({ metric, value, values = value ? [value] : [] }) => ({
    labels: metric,
    values: values.map(([, value]) => Number(value)),
  }))
}
