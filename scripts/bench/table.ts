import { alignColumns } from '../table.ts'
import type { Result } from './measure.ts'

const PROCESSES = ['play', 'reporting', 'queue-listener', 'nats-server', 'postgres']

/** The row to compare the other rows with, and the heading of the column with the ratio of plays per second. */
export type Baseline = { row: string; heading: string }

/** Formats the results, one row per target and number of connections. */
export function toTable(results: Result[], baseline: Baseline): string {
  const processes = PROCESSES.filter((process) => results.some(({ cpu }) => process in cpu))
  const headings = ['conn.', '', 'plays/s', 'p50 ms', 'p99 ms', baseline.heading, 'failed', 'CPU', ...processes]
  const rows = results.map((result) => {
    const base = results.find(({ name, connections }) => name === baseline.row && connections === result.connections)
    return toRow(result, base, processes)
  })
  return `${alignColumns([headings, ...rows], 1)}
(CPU: microseconds per play, for all processes together and for each)
`
}

function toRow(
  { connections, name, perSecond, p50, p99, failed, cpu }: Result,
  base: Result | undefined,
  processes: string[],
) {
  return [
    String(connections),
    name,
    Math.round(perSecond).toLocaleString('en'),
    p50.toFixed(2),
    p99.toFixed(2),
    base ? (perSecond / base.perSecond).toFixed(2) : '',
    String(failed),
    sum(Object.values(cpu)).toFixed(1),
    ...processes.map((process) => (process in cpu ? Number(cpu[process]).toFixed(1) : '')),
  ]
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
