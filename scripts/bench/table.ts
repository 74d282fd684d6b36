import type { Measured } from './measure.ts'
import { BARE } from './targets.ts'

const PROCESSES = ['play', 'reporting', 'queue-listener', 'nats-server']
const HEADINGS = ['conn.', '', 'plays/s', 'p50 ms', 'p99 ms', 'of bare', 'failed', ...PROCESSES]

/** The table of a bench. The last columns are CPU microseconds a play in each process. */
export function toTable(measured: Measured[]): string {
  const rows = [HEADINGS, ...measured.map((row) => toRow(row, measured))]
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)))
  const lines = rows.map((row) =>
    row.map((cell, column) =>
      column === 1 ? cell.padEnd(widths[1] as number) : cell.padStart(widths[column] as number),
    ),
  )
  return `${lines.map((cells) => cells.join('  ').trimEnd()).join('\n')}\n(the last four: CPU microseconds a play)\n`
}

function toRow({ connections, name, perSecond, p50, p99, failed, cpu }: Measured, all: Measured[]): string[] {
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
