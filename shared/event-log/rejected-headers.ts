import { headers, type MsgHdrs } from 'nats'
import { MAX_REASON, toLine } from '../runtime/printable.ts'

/** A dead letter's headers: its original sequence and subject, and why it was rejected. */
const SEQUENCE = 'Rejected-Sequence'
const SUBJECT = 'Rejected-Subject'
const REASON = 'Rejected-Reason'
/** The size of the original body in bytes. Dead letters that earlier releases wrote lack this header. */
const SIZE = 'Rejected-Size'
/**
 * Present if the body was omitted because it did not fit alongside the headers. The body is then only in the original
 * message in the log.
 */
export const BODY_OMITTED = 'Rejected-Body-Omitted'
/** Additional headers of the message that resolves a dead letter. */
export const REPLAYED = 'Rejected-Replayed'
export const DELETED = 'Rejected-Deleted'

const MAX_SUBJECT = 1_000

/** Upper bound for the total size of the headers above. */
export const OWN_HEADER_BYTES = 4 * 1024

/** A rejected message, as described by these headers. */
export type Rejected = { sequence: number; subject: string; reason: string; size?: number | undefined }

/** Sets a dead letter's headers. Escapes and truncates their values. */
export function setRejected(target: MsgHdrs, { sequence, subject, reason, size }: Rejected): void {
  target.set(SEQUENCE, String(sequence))
  target.set(SUBJECT, toLine(subject, MAX_SUBJECT))
  target.set(REASON, toLine(reason, MAX_REASON))
  if (size !== undefined) target.set(SIZE, String(size))
}

/**
 * Returns undefined if a required header is missing, or if the sequence is not below `limit`: any client may have
 * forged the message.
 */
export function readRejected(read: () => MsgHdrs | undefined, limit: number): Rejected | undefined {
  const sequence = Number(headerOf(read, SEQUENCE))
  const subject = headerOf(read, SUBJECT)
  const reason = headerOf(read, REASON)
  if (!Number.isSafeInteger(sequence) || sequence < 1 || sequence >= limit || !subject || !reason) return undefined
  const size = Number(headerOf(read, SIZE) ?? Number.NaN)
  return {
    sequence,
    subject: toLine(subject, MAX_SUBJECT),
    reason: toLine(reason, MAX_REASON),
    size: Number.isSafeInteger(size) ? size : undefined,
  }
}

/**
 * Copies the original's headers that fit, except those that the server or this log interprets. Copies nothing if the
 * headers are malformed.
 */
export function copyHeaders(read: () => MsgHdrs | undefined, maxBytes: number): MsgHdrs {
  const kept = headers()
  let bytes = 0
  try {
    for (const [name, values] of entriesOf(read)) {
      for (const value of values) {
        bytes += Buffer.byteLength(`${name}: ${value}\r\n`)
        if (!/^(nats|rejected)-/i.test(name) && bytes <= maxBytes) kept.append(name, value)
      }
    }
    return kept
  } catch {
    return headers()
  }
}

/** All header values by name; empty if the headers are malformed. */
export function toRecord(read: () => MsgHdrs | undefined): Record<string, string[]> {
  try {
    return Object.fromEntries(entriesOf(read))
  } catch {
    return {}
  }
}

function entriesOf(read: () => MsgHdrs | undefined): (readonly [string, string[]])[] {
  const source = read()
  return source ? source.keys().map((name) => [name, source.values(name)] as const) : []
}

/** Returns undefined if the header is missing, or if the headers are malformed: any client may have published them. */
export function headerOf(read: () => MsgHdrs | undefined, name: string): string | undefined {
  try {
    return read()?.get(name) || undefined
  } catch {
    return undefined
  }
}
