import { toPrintable } from '../shared/runtime/printable.ts'

/** Aligns all columns to the right, except text columns. */
export function alignColumns(rows: string[][], ...text: number[]): string {
  const widthOf = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0))
  const widths = rows[0]?.map((_, column) => widthOf(column)) ?? []
  const align = (cell: string, column: number) =>
    text.includes(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
  return rows.map((row) => row.map(align).join('  ').trimEnd()).join('\n')
}

/** Escapes text, such as an id from the log, so that a terminal prints it as part of one line. */
export function toOneLine(text: string): string {
  return toPrintable(text).replaceAll(/[\n\t]/g, ' ')
}
