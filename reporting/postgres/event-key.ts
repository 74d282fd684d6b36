import { toDigest } from '../digest.ts'
import { fromAscii, toAscii } from './literals.ts'

const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/
const HALF = 8

/** How an event id is indexed. `id` is empty if the key alone identifies the event; otherwise, ids may share a key. */
type EventKey = { key: string; id: string }

/**
 * Returns the key for an event id, as a 16-byte UUID. A UUID is its own key. The key for any other id ends with the
 * id's last 8 characters. As a result, ids that increase with time or with a counter have adjacent keys, and the part
 * of the index with recent ids stays in memory.
 */
export function toEventKey(eventId: string): EventKey {
  if (UUID.test(eventId)) return { key: eventId, id: '' }
  const id = toAscii(eventId)
  const start = toDigest(id.slice(0, -HALF)).toString('hex', 0, HALF)
  const end = Buffer.from(id.slice(-HALF), 'latin1').toString('hex')
  return { key: start + end.padStart(2 * HALF, '0'), id }
}

export function toEventId({ key, id }: EventKey): string {
  return id === '' ? key : fromAscii(id)
}
