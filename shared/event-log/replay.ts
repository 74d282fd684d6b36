import { MAX_REASON, toLine } from '../runtime/printable.ts'
import type { Resolved } from './event-log.ts'
import { decodeViews, parseBatch, parseEvents } from './view-events.ts'

/** A dead letter's views cannot be replayed. The error message says what is invalid or which limit is exceeded. */
export class InvalidReplayError extends Error {
  override name = 'InvalidReplayError'
}

/** A message in the log, and when the log stored it (RFC 3339). */
type Original = { sequence: number; body: Uint8Array | undefined; storedAt: string }

/** A CloudEvents batch to append, and the number of views in it. */
export type Replay = { data: string; views: number }

/**
 * Encodes a dead letter's views for its replay, from the original or from a corrected body. The events keep their ids,
 * times and all other attributes, except `source` and `serial`.
 * @throws InvalidReplayError
 */
export function encodeReplay({ sequence, body, storedAt }: Original, corrected?: Uint8Array): Replay {
  const source = corrected ?? body
  if (!source) throw new InvalidReplayError('the log no longer has the body; send a corrected one')
  const replay = validateReplay(source, sequence, storedAt)
  if (corrected && body) assertSameIds(parse(body), parse(corrected))
  return replay
}

/**
 * Validates a body exactly as a reader of the log will.
 * @throws InvalidReplayError
 */
export function validateReplay(body: Uint8Array, sequence: number, storedAt: string): Replay {
  try {
    const events = parseBatch(body).map((event, index) => withProducer(event, { sequence, index, storedAt }))
    const data = JSON.stringify(events)
    return { data, views: decodeViews(Buffer.from(data), storedAt).views.length }
  } catch (cause) {
    throw new InvalidReplayError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}

/** Turns an InvalidReplayError into an outcome. */
export async function refuseInvalid(replay: () => Promise<Resolved>): Promise<Resolved> {
  try {
    return await replay()
  } catch (error) {
    if (!(error instanceof InvalidReplayError)) throw error
    return { outcome: 'invalid', reason: toLine(error.message, MAX_REASON) }
  }
}

/** Assigns an event to the replay's producer, whose serials start at 1 and follow the order of the events. */
function withProducer(
  event: unknown,
  { sequence, index, storedAt }: { sequence: number; index: number; storedAt: string },
) {
  if (!isObject(event)) return event
  const source = `/dead-letters/dead-letter.${sequence}`
  return { time: storedAt, ...event, source, serial: String(index + 1) }
}

/**
 * A correction may omit events, but must not add any. If an event in the original has no id, this cannot be checked.
 * @throws InvalidReplayError
 */
function assertSameIds(original: unknown[] = [undefined], corrected: unknown[] = []): void {
  const idCounts = new Map<string | undefined, number>()
  for (const id of original.map(idOf)) idCounts.set(id, (idCounts.get(id) ?? 0) + 1)
  if (idCounts.has(undefined)) return
  for (const id of corrected.map(idOf)) {
    const left = idCounts.get(id) ?? 0
    if (left === 0) throw new InvalidReplayError(`the original has no other event with the id ${JSON.stringify(id)}`)
    idCounts.set(id, left - 1)
  }
}

function idOf(event: unknown): string | undefined {
  return isObject(event) && 'id' in event && typeof event.id === 'string' ? event.id : undefined
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function parse(body: Uint8Array): unknown[] | undefined {
  try {
    return parseEvents(body)
  } catch {
    return undefined
  }
}
