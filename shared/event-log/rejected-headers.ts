import { headers, type MsgHdrs } from 'nats'
import { toLine } from '../runtime/printable.ts'

/** Headers of a dead letter: its original sequence and subject, and why it was rejected. */
const SEQUENCE = 'Rejected-Sequence'
const SUBJECT = 'Rejected-Subject'
const REASON = 'Rejected-Reason'
/** The size of the original body in bytes. Letters of earlier versions lack it. */
const SIZE = 'Rejected-Size'
/** Present if the body is missing because it did not fit beside the headers. The original in the log has it. */
export const BODY_OMITTED = 'Rejected-Body-Omitted'
/** Headers of the message that resolves a dead letter, beside those above. */
export const REPLAYED = 'Rejected-Replayed'
export const DELETED = 'Rejected-Deleted'

const MAX_REASON = 500
const MAX_SUBJECT = 1_000

/** More than the headers above can have. */
export const OWN_HEADER_BYTES = 4 * 1024

/** What the headers say about a rejected message. */
export type Rejected = { sequence: number; subject: string; reason: string; size?: number | undefined }

/** Sets the headers of a dead letter, escaped and bounded. */
export function setRejected(all: MsgHdrs, { sequence, subject, reason, size }: Rejected): void {
  all.set(SEQUENCE, String(sequence))
  all.set(SUBJECT, toLine(subject, MAX_SUBJECT))
  all.set(REASON, toLine(reason, MAX_REASON))
  if (size !== undefined) all.set(SIZE, String(size))
}

/** Undefined unless all of them are there, and the sequence is below `limit`: any client may have forged the message. */
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

/** Those of the original that fit and have no meaning for the server or this log; none if they are malformed. */
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

/** All values by name; none if the headers are malformed. */
export function toRecord(read: () => MsgHdrs | undefined): Record<string, string[]> {
  try {
    return Object.fromEntries(entriesOf(read))
  } catch {
    return {}
  }
}

function entriesOf(read: () => MsgHdrs | undefined): (readonly [string, string[]])[] {
  const all = read()
  return all ? all.keys().map((name) => [name, all.values(name)] as const) : []
}

/** Undefined if there is no such header, or the headers are malformed: any client may have published the message. */
export function headerOf(read: () => MsgHdrs | undefined, name: string): string | undefined {
  try {
    return read()?.get(name) || undefined
  } catch {
    return undefined
  }
}
