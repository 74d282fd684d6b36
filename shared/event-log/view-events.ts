import { z } from 'zod'
import type { SerialRange } from '../contracts/event-batch.ts'
import { Play } from '../contracts/play.ts'
import { MAX_VIEWS_PER_BATCH, Predecessor, View, WatchedView } from '../contracts/view.ts'
import { Duration } from '../contracts/watch.ts'
import { parseSafely } from '../runtime/parse-safely.ts'
import { isSampled, type TraceContext, toTracestate } from '../tracing/trace-context.ts'
import type { NewView } from './event-log.ts'

/** Media type of messages in the log: CloudEvents 1.0, JSON batch format. */
export const BATCH_CONTENT_TYPE = 'application/cloudevents-batch+json'

/** Maximum number of errors in a dead letter's reason. */
const MAX_ISSUES = 2

export const SerialText = z
  .string()
  .regex(/^[1-9]\d{0,14}$/, { error: 'must be a decimal number of at most 15 digits' })

/**
 * A view as a CloudEvents 1.0 event; `docs/asyncapi.yaml` documents it. Unknown attributes are ignored, as the
 * specification requires.
 */
export const ViewEvent = z.looseObject({
  specversion: z.literal('1.0'),
  id: View.shape.id,
  source: z
    .string()
    .min(1)
    .meta({ description: 'The producer that appended the event', examples: ['/play/Q1WAZ5Y7C8N3S9B2K4X6E0'] }),
  type: z.literal('video.viewed'),
  time: View.shape.at.optional(),
  serial: SerialText.optional().meta({
    description:
      'Number of this event among the events of its producer, starting at 1. Requires a source that ends with the producer',
    examples: ['1'],
  }),
  predecessor: Predecessor.shape.producer
    .optional()
    .meta({ description: 'An earlier producer of the same program; requires a serial' }),
  predecessorserial: SerialText.optional().meta({
    description: 'The last serial of the predecessor that the log acknowledged',
  }),
  keyed: View.shape.keyed,
  data: Play.extend({ duration: Duration.optional() }),
})
export type ViewEvent = z.infer<typeof ViewEvent>

/** A report of how long the user has watched a view. */
export const WatchEvent = ViewEvent.omit({ keyed: true }).extend({
  id: View.shape.id.meta({ description: 'Unique id of this event' }),
  time: ViewEvent.shape.time.unwrap().meta({ description: 'Time of the report (RFC 3339)' }).optional(),
  type: z.literal('video.watched'),
  data: Play.extend({ viewId: WatchedView.shape.viewId, seconds: WatchedView.shape.seconds }),
})
export type WatchEvent = z.infer<typeof WatchEvent>

/** Compiled, because validation takes most of the decoding time. */
const Events = z.compile(
  z
    .array(z.discriminatedUnion('type', [ViewEvent, WatchEvent]))
    .min(1)
    .max(MAX_VIEWS_PER_BATCH),
  { strict: true },
)

/** Encodes views and reports as a CloudEvents batch in JSON. The encoding is deterministic. */
export function encodeViews(views: readonly NewView[], source: string): string {
  return JSON.stringify(
    views.map(({ id, assetId, userId, duration, watched, ...event }) => ({
      specversion: '1.0',
      id,
      source,
      type: watched ? 'video.watched' : 'video.viewed',
      subject: assetId,
      time: event.at,
      serial: event.serial?.toString(),
      predecessor: event.predecessor?.producer,
      predecessorserial: event.predecessor?.serial.toString(),
      keyed: event.keyed,
      requestid: event.requestId,
      traceparent: event.traceparent,
      tracestate: event.tracestate,
      data: watched ? { ...watched, assetId, userId } : { assetId, userId, duration },
    })),
  )
}

/** The views and reports in a message, and the trace contexts of the events whose traces are recorded. */
export type DecodedViews = {
  views: View[]
  watched?: Omit<WatchedView, 'sequence'>[]
  /** The last event in the message. */
  last?: Pick<View, 'id' | 'serial'>
  traces: TraceContext[]
  isDeadLetter?: boolean
  /** The serials in a message whose views are not counted; undefined if there are none. */
  rejected?: SerialRange | undefined
  /** The readable ids of the events in a message whose views are not counted. */
  skippedIds?: string[]
}

/** Rejects invalid UTF-8: a replacement character would change an id, and is three times as long as an invalid byte. */
const decoder = new TextDecoder('utf-8', { fatal: true })

/**
 * Decodes a message: a CloudEvents batch, or a single event.
 * @param storedAt when the log stored the message (RFC 3339): the default `time` of its events. It is also their
 *   maximum `time`, because a producer's clock may be ahead
 * @param producer the producer that the message's subject belongs to; by default, the one in each `source`
 * @throws Error with a message that explains what is invalid
 */
export function decodeViews(data: Uint8Array, storedAt: string, producer?: string): DecodedViews {
  const events = parseSafely(Events, parseBatch(data))
  if (!events.success) throw new Error(describeIssues(events.error))
  const serialFieldsOf = createSerialReader(producer)
  const stored = { at: storedAt, ms: Date.parse(storedAt) }
  const views: View[] = []
  const watched: Omit<WatchedView, 'sequence'>[] = []
  const traces: TraceContext[] = []
  for (const event of events.data) {
    const serialFields = serialFieldsOf(event)
    if (event.type === 'video.viewed') views.push(toView(event, stored, serialFields))
    else watched.push({ ...event.data, index: views.length, ...serialFields })
    const trace = recordedTrace(event)
    if (trace) traces.push(trace)
  }
  return { views, watched, last: lastOf(events.data), traces }
}

/** Describes the first errors in ASCII, because a dead letter's reason must be ASCII. */
function describeIssues({ issues }: z.ZodError): string {
  const described = issues.slice(0, MAX_ISSUES).map(({ path, message }) => {
    return path.length === 0 ? message : `${z.core.toDotPath(path)}: ${message}`
  })
  return described.join('; ')
}

/**
 * Returns a message's events without validating them. Checks their number here, because a schema would validate every
 * event even if the batch is too long.
 * @throws Error unless the message is JSON in UTF-8 with at most MAX_VIEWS_PER_BATCH events
 */
export function parseBatch(data: Uint8Array): unknown[] {
  const batch = parseEvents(data)
  if (batch.length <= MAX_VIEWS_PER_BATCH) return batch
  throw new Error(`${batch.length} events; at most ${MAX_VIEWS_PER_BATCH} are allowed`)
}

/** Like parseBatch, but for any number of events. */
export function parseEvents(data: Uint8Array): unknown[] {
  const json: unknown = JSON.parse(decoder.decode(data))
  return Array.isArray(json) ? json : [json]
}

type SerialFields = Pick<View, 'producer' | 'serial' | 'predecessor'>

/** Reads the serials in one message. */
function createSerialReader(appendedBy: string | undefined) {
  /** Caches the last verified source, because usually all events in a message have the same source. */
  let verified: { source: string; producer: string } | undefined

  /** A serial needs a matching source: otherwise a message could claim another producer's serials. */
  function producerOf(source: string): string {
    if (source === verified?.source) return verified.producer
    const producer = appendedBy ?? producerIn(source)
    if (!isSourceOf(source, producer)) throw new Error(`a serial requires a source that ends with /${producer}`)
    verified = { source, producer }
    return producer
  }

  return function serialFieldsOf(event: ViewEvent | WatchEvent): SerialFields {
    const { source, serial } = event
    if (serial === undefined) return {}
    const fields: SerialFields = { producer: producerOf(source), serial: Number(serial) }
    if (event.predecessor !== undefined && event.predecessorserial !== undefined) {
      fields.predecessor = { producer: event.predecessor, serial: Number(event.predecessorserial) }
    }
    return fields
  }
}

/** A view without a serial is identified by its whole source and its id. */
function toView(event: ViewEvent, stored: { at: string; ms: number }, serialFields: SerialFields): View {
  const { id, source, time, keyed, data } = event
  const at = time === undefined || Date.parse(time) > stored.ms ? stored.at : time
  const view: View = { id, assetId: data.assetId, userId: data.userId, at, producer: source }
  Object.assign(view, serialFields)
  if (keyed) view.keyed = true
  if (data.duration !== undefined) view.duration = data.duration
  return view
}

function lastOf(events: readonly (ViewEvent | WatchEvent)[]): Pick<View, 'id' | 'serial'> {
  const { id = '', serial } = events.at(-1) ?? {}
  return { id, serial: serial === undefined ? undefined : Number(serial) }
}

/** Returns true if a `source` names this producer. */
export function isSourceOf(source: string, producer: string): boolean {
  return source.endsWith(`/${producer}`)
}

/** An event's producer: the last segment of its `source`. */
export function producerIn(source: string): string {
  return source.slice(source.lastIndexOf('/') + 1)
}

/** The CloudEvents distributed tracing extension. An invalid trace context is ignored, but the view still counts. */
function recordedTrace({ traceparent, tracestate }: ViewEvent | WatchEvent): TraceContext | undefined {
  if (typeof traceparent !== 'string' || !isSampled(traceparent)) return undefined
  return { traceparent, tracestate: toTracestate(tracestate) }
}
