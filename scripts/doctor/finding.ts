import { styleText } from 'node:util'
import { alignColumns, toOneLine } from '../table.ts'

/**
 * FAIL: something is broken, and the exit status is 1. warn: everything works, but something needs attention. The text
 * describes the problem and the fix.
 */
export type Finding = { severity: 'ok' | 'warn' | 'FAIL'; name: string; text: string }

/** Creates findings about a service or a part of the system. */
export function findingsAbout(name: string) {
  const create =
    (severity: Finding['severity']) =>
    (text: string): Finding => ({ severity, name, text })
  return { ok: create('ok'), warn: create('warn'), fail: create('FAIL') }
}

const COLOURS = { ok: 'green', warn: 'yellow', FAIL: 'red' } as const

/** Formats findings as a table, one line each; in colour if standard output is a terminal. */
export function toText(findings: Finding[]): string {
  const toRow = ({ severity, name, text }: Finding) => [
    styleText(COLOURS[severity], severity.padEnd(4)),
    name,
    toOneLine(text),
  ]
  return `${alignColumns(findings.map(toRow), 0, 1, 2)}\n`
}
