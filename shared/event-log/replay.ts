import { MAX_VIEWS_PER_BATCH } from '../contracts/view.ts'
import { toLine } from '../runtime/printable.ts'
import type { Resolved } from './event-log.ts'
import { decodeViews } from './view-events.ts'

const MAX_REASON = 500

/** The views of a dead letter cannot be replayed. The error message says what is invalid or which limit is exceeded. */
export class InvalidReplayError extends Error {
  override name = 'InvalidReplayError'
}

/** The producer of the views of a replayed dead letter. */
export function replayProducer(sequence: number): string {
  return `dead-letter.${sequence}`
}

/** A message in the log, and when the log stored it (RFC 3339). */
export type Original = { sequence: number; body: Uint8Array | undefined; storedAt: string }

/** A CloudEvents batch to append, and its number of views. */
export type Replay = { data: string; views: number }

/**
 * Encodes the views of a dead letter for its replay, from the original or from a corrected body. The events keep their
 * ids, times and all other attributes, except `source` and `serial`.
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
    const parsed = parseEvents(body)
    if (parsed.length > MAX_VIEWS_PER_BATCH) throw new Error(`more than ${MAX_VIEWS_PER_BATCH} events`)
    const events = parsed.map((event, index) => withProducer(event, { sequence, index, storedAt }))
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
  const source = `/dead-letters/${replayProducer(sequence)}`
  return { time: storedAt, ...event, source, serial: String(index + 1) }
}

/**
 * A correction may omit events, but must not add any. If an event of the original has no id, this cannot be checked.
 * @throws InvalidReplayError
 */
function assertSameIds(original: unknown[] = [undefined], corrected: unknown[] = []): void {
  const known = new Map<string | undefined, number>()
  for (const id of original.map(idOf)) known.set(id, (known.get(id) ?? 0) + 1)
  if (known.has(undefined)) return
  for (const id of corrected.map(idOf)) {
    const left = known.get(id) ?? 0
    if (left === 0) throw new InvalidReplayError(`the original has no other event with the id ${JSON.stringify(id)}`)
    known.set(id, left - 1)
  }
}

function idOf(event: unknown): string | undefined {
  return isObject(event) && 'id' in event && typeof event.id === 'string' ? event.id : undefined
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const decoder = new TextDecoder('utf-8', { fatal: true })

/** @throws Error unless it is JSON in UTF-8 */
function parseEvents(body: Uint8Array): unknown[] {
  const json: unknown = JSON.parse(decoder.decode(body))
  return Array.isArray(json) ? json : [json]
}

function parse(body: Uint8Array): unknown[] | undefined {
  try {
    return parseEvents(body)
  } catch {
    return undefined
  }
}
