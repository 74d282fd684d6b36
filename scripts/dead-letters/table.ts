import type { DeadLetter, DeadLetterContent } from '../../shared/contracts/dead-letter.ts'
import { toLine, toPrintable } from '../../shared/runtime/printable.ts'
import { CallError } from './client.ts'

const SUBJECT_WIDTH = 24
const MIN_REASON_WIDTH = 20

/** The total width of all columns except the reason, including the gaps. */
const OTHER_COLUMNS = 9 + 19 + 8 + SUBJECT_WIDTH + 4 * 2

/** The heading of the dead-letter table. */
export const heading = toRow('sequence', 'since', 'size', 'subject', 'reason')

/** Formats rows of at most `width` characters. Rows are longer if the reason would get less than MIN_REASON_WIDTH. */
export function toRows(letters: DeadLetter[], width: number): string {
  const reasonWidth = Math.max(MIN_REASON_WIDTH, width - OTHER_COLUMNS)
  const rows = letters.map(({ sequence, at, size, subject = '-', reason }) => {
    const since = toLine(at, 19).replace('T', ' ')
    return toRow(String(sequence), since, String(size), shorten(subject, SUBJECT_WIDTH), shorten(reason, reasonWidth))
  })
  return rows.join('')
}

function toRow(sequence: string, since: string, size: string, subject: string, reason: string): string {
  const columns = [sequence.padStart(9), since.padEnd(19), size.padStart(8), subject.padEnd(SUBJECT_WIDTH), reason]
  return `${columns.join('  ').trimEnd()}\n`
}

function shorten(text: string, max: number): string {
  const line = toLine(text, max + 1)
  return line.length > max ? `${line.slice(0, max - 1)}…` : line
}

/** Formats all details of a dead letter, with the body last. */
export function toDetails(letter: DeadLetterContent): string {
  const { sequence, subject = '-', reason, at, size, headers, encoding } = letter
  const { body = '(the log no longer has the body)' } = letter
  const fields = [
    ['sequence', String(sequence)],
    ['subject', subject],
    ['reason', reason],
    ['since', at],
    ['size', `${size} bytes${encoding === 'base64' ? ', not valid UTF-8, below in base64' : ''}`],
    ...Object.entries(headers).flatMap(([name, values]) => values.map((value) => ['header', `${name}: ${value}`])),
  ]
  const lines = fields.map(
    ([name = '', value = '']) => `${name.padEnd(8)}  ${toLine(value, Number.POSITIVE_INFINITY)}\n`,
  )
  return `${lines.join('')}\n${toText(body)}`
}

/** Adds a line break at the end. Characters that a terminal would interpret are escaped as in JSON. */
function toText(body: string): string {
  return `${toPrintable(body).replace(/\n$/, '')}\n`
}

/**
 * Returns the body for a file: as text, or as bytes if it is not valid UTF-8.
 * @throws CallError if the log no longer has the body
 */
export function toBody({ sequence, body, encoding }: DeadLetterContent): string | Uint8Array {
  if (body === undefined) throw new CallError(`the log no longer has the body of ${sequence}`)
  return encoding === 'base64' ? Buffer.from(body, encoding) : toText(body)
}
