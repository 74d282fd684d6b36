import { styleText } from 'node:util'

/**
 * FAIL: something is broken, and the exit status is 1. warn: everything works, but something needs attention. The text
 * describes the problem and the fix.
 */
export type Finding = { severity: 'ok' | 'warn' | 'FAIL'; name: string; text: string }

export const ok = (name: string, text: string): Finding => ({ severity: 'ok', name, text })
export const warn = (name: string, text: string): Finding => ({ severity: 'warn', name, text })
export const fail = (name: string, text: string): Finding => ({ severity: 'FAIL', name, text })

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
