import { styleText } from 'node:util'

/**
 * What was found of one thing, and, where it is not well, what to do. FAIL is what keeps the system from doing all that
 * it does; warn is what works and wants a look, and is no reason for an exit status of 1.
 */
export type Line = { mark: 'ok' | 'warn' | 'FAIL'; name: string; text: string }

export function ok(name: string, text: string): Line {
  return { mark: 'ok', name, text }
}

export function warn(name: string, text: string): Line {
  return { mark: 'warn', name, text }
}

export function fail(name: string, text: string): Line {
  return { mark: 'FAIL', name, text }
}

const COLOURS = { ok: 'green', warn: 'yellow', FAIL: 'red' } as const

/** Lines in columns. */
export function toText(lines: Line[], coloured: boolean): string {
  const width = Math.max(...lines.map(({ name }) => name.length))
  return lines
    .map(({ mark, name, text }) => {
      const padded = mark.padEnd(4)
      return `${coloured ? styleText(COLOURS[mark], padded) : padded}  ${name.padEnd(width)}  ${text}\n`
    })
    .join('')
}
