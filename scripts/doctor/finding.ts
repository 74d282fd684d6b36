import { styleText } from 'node:util'

/** FAIL: something is broken, and the exit status is 1. warn: everything works, but something needs attention. */
export type Finding = { severity: 'ok' | 'warn' | 'FAIL'; name: string; text: string }

/** Creates findings for one check. The text describes the problem and the fix. */
export function about(name: string) {
  const withSeverity = (severity: Finding['severity']) => (text: string) => ({ severity, name, text })
  return { ok: withSeverity('ok'), warn: withSeverity('warn'), fail: withSeverity('FAIL') }
}

const COLOURS = { ok: 'green', warn: 'yellow', FAIL: 'red' } as const

/** Formats findings as a table, one line each; in colour if standard output is a terminal. */
export function toText(findings: Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length))
  const toLine = ({ severity, name, text }: Finding) =>
    `${styleText(COLOURS[severity], severity.padEnd(4))}  ${name.padEnd(width)}  ${text}\n`
  return findings.map(toLine).join('')
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}
