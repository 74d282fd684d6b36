import type { Result } from './measure.ts'
import { BARE } from './targets.ts'

const PROCESSES = ['play', 'reporting', 'queue-listener', 'nats-server']
const HEADINGS = ['conn.', '', 'plays/s', 'p50 ms', 'p99 ms', 'vs bare', 'failed', ...PROCESSES]

/** Formats the results, one row per target and number of connections. */
export function toTable(results: Result[]): string {
  const rows = [HEADINGS, ...results.map((result) => toRow(result, results))]
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const lines = rows.map((row) =>
    row.map((cell, column) => {
      const width = widths[column] ?? 0
      return column === 1 ? cell.padEnd(width) : cell.padStart(width)
    }),
  )
  return `${lines.map((cells) => cells.join('  ').trimEnd()).join('\n')}\n(last four columns: CPU microseconds per play)\n`
}

function toRow({ connections, name, perSecond, p50, p99, failed, cpu }: Result, all: Result[]): string[] {
  const bare = all.find((other) => other.name === BARE && other.connections === connections)
  return [
    String(connections),
    name,
    Math.round(perSecond).toLocaleString('en'),
    p50.toFixed(2),
    p99.toFixed(2),
    bare ? (perSecond / bare.perSecond).toFixed(2) : '',
    String(failed),
    ...PROCESSES.map((process) => (process in cpu ? Number(cpu[process]).toFixed(1) : '')),
  ]
}
