import type { JsMsg } from 'nats'
import type { Resolution } from './event-log.ts'
import { BODY_OMITTED, DELETED, headerOf, REPLAYED, type Rejected, readRejected } from './rejected-headers.ts'
import { replaySubject, storedAt } from './stream.ts'

/** A copy of a dead letter: its sequence, when it was stored (RFC 3339), and the size of the body in bytes. */
export type DeadLetterHead = Rejected & { copy: number; at: string; size: number; bodyOmitted: boolean }

/** Returns true if a message deletes a dead letter. Such a message is not a dead letter itself. */
export function isDeletion(message: JsMsg): boolean {
  return readResolution(message)?.resolution.action === 'deleted'
}

/** Returns undefined if the message does not resolve a dead letter. */
export function readResolution(message: JsMsg): { sequence: number; resolution: Resolution } | undefined {
  const { seq, subject } = message
  const read = () => message.headers
  const rejected = readRejected(read, seq)
  if (!rejected || subject !== replaySubject(rejected.sequence)) return undefined
  const isDeleted = headerOf(read, DELETED) !== undefined && sizeOf(message) === 0
  if (!isDeleted && headerOf(read, REPLAYED) === undefined) return undefined
  const at = storedAt(message)
  return { sequence: rejected.sequence, resolution: { action: isDeleted ? 'deleted' : 'replayed', at } }
}

/** Returns undefined if the message is not a dead letter. */
export function toHead(message: JsMsg): DeadLetterHead | undefined {
  const rejected = readRejected(() => message.headers, message.seq)
  if (!rejected) return undefined
  const bodyOmitted = headerOf(() => message.headers, BODY_OMITTED) !== undefined
  const at = storedAt(message)
  return { ...rejected, copy: message.seq, at, size: rejected.size ?? sizeOf(message), bodyOmitted }
}

/** If only headers are requested, the server appends the size of the body as the last `Nats-Msg-Size` header. */
function sizeOf({ data, headers }: Pick<JsMsg, 'data' | 'headers'>): number {
  if (data.length > 0) return data.length
  const size = Number(headers?.values('Nats-Msg-Size').at(-1) ?? 0)
  return Number.isSafeInteger(size) && size >= 0 ? size : 0
}
