import { z } from 'zod'
import type { SerialRange } from '../contracts/event-batch.ts'
import { MAX_VIEWS_PER_BATCH, View } from '../contracts/view.ts'
import { parseSafely } from '../runtime/parse-safely.ts'
import { type DecodedViews, isSourceOf, parseEvents, producerIn, SerialText } from './view-events.ts'

const NumberedEvent = z.looseObject({ source: z.string(), serial: SerialText })
const IdentifiedEvent = z.looseObject({ id: View.shape.id })

/** The result of decoding a message that is skipped because it is invalid, or was refused, replayed or deleted. */
export function skipped(data: Uint8Array, producer?: string): DecodedViews {
  return { views: [], traces: [], rejected: serialsIn(data, producer), skippedIds: idsIn(data) }
}

/** The ids of the events in a message that may be invalid. */
function idsIn(data: Uint8Array): string[] {
  try {
    const events = parseEvents(data).slice(0, MAX_VIEWS_PER_BATCH)
    return events.flatMap((event) => parseSafely(IdentifiedEvent, event).data?.id ?? [])
  } catch {
    return []
  }
}

/** The serials in a message that may be invalid; undefined if the serial of any event cannot be read. */
function serialsIn(data: Uint8Array, appendedBy: string | undefined): SerialRange | undefined {
  try {
    let producer = appendedBy
    const serials: number[] = []
    for (const event of parseEvents(data)) {
      const { source, serial } = NumberedEvent.parse(event)
      producer ??= producerIn(source)
      if (!isSourceOf(source, producer)) return undefined
      serials.push(Number(serial))
    }
    return toSerialRange(producer ?? '', serials)
  } catch {
    return undefined
  }
}

/** Returns undefined if there are no serials, or if they are not consecutive. */
export function toSerialRange(producer: string, serials: readonly number[]): SerialRange | undefined {
  const [from] = serials
  if (from === undefined || serials.some((serial, index) => serial !== from + index)) return undefined
  return { producer, from, to: from + serials.length - 1 }
}
