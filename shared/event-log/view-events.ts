import { z } from 'zod'
import { Play } from '../contracts/play.ts'
import { MAX_VIEWS_PER_BATCH, View } from '../contracts/view.ts'
import { isSampled, type TraceContext, toTracestate } from '../tracing/trace-context.ts'
import type { NewView } from './event-log.ts'

/** Media type of messages in the log: CloudEvents 1.0, JSON batch format. */
export const BATCH_CONTENT_TYPE = 'application/cloudevents-batch+json'

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
    .meta({ description: 'The producer that appended it', examples: ['/play/Q1WAZ5Y7C8N3S9B2K4X6E0'] }),
  type: z.literal('video.viewed'),
  time: View.shape.at.optional(),
  data: Play,
})
export type ViewEvent = z.infer<typeof ViewEvent>

const ViewEvents = z.array(ViewEvent).min(1).max(MAX_VIEWS_PER_BATCH)

/** Encodes views as a CloudEvents batch in JSON. Deterministic. */
export function encodeViews(views: readonly NewView[], source: string): string {
  return JSON.stringify(
    views.map(({ id, assetId, userId, at, requestId, traceparent, tracestate }) => ({
      specversion: '1.0',
      id,
      source,
      type: 'video.viewed',
      subject: assetId,
      time: at,
      requestid: requestId,
      traceparent,
      tracestate,
      data: { assetId, userId },
    })),
  )
}

/** The views of a message, and the trace contexts of those whose traces are recorded. */
export type DecodedViews = { views: View[]; traces: TraceContext[] }

/** Strict: a replacement character would be a different id, and three times as long as an invalid byte. */
const decoder = new TextDecoder('utf-8', { fatal: true })

/**
 * Decodes a message: a CloudEvents batch, or a single event.
 * @param storedAt the default `time` of events (RFC 3339)
 * @throws Error with a message that explains what is invalid
 */
export function decodeViews(data: Uint8Array, storedAt: string): DecodedViews {
  const json: unknown = JSON.parse(decoder.decode(data))
  const batch = Array.isArray(json) ? json : [json]
  // Checked first, because the schema would validate every item, however long the batch is.
  if (batch.length > MAX_VIEWS_PER_BATCH)
    throw new Error(`${batch.length} events; at most ${MAX_VIEWS_PER_BATCH} are allowed`)
  const events = ViewEvents.safeParse(batch)
  if (!events.success) throw new Error(z.prettifyError(events.error).split('\n').slice(0, 4).join(' '))
  const views: View[] = []
  const traces: TraceContext[] = []
  for (const event of events.data) {
    const { id, time, data } = event
    views.push({ id, assetId: data.assetId, userId: data.userId, at: time ?? storedAt })
    const trace = recordedTrace(event)
    if (trace) traces.push(trace)
  }
  return { views, traces }
}

/** CloudEvents' distributed tracing extension. An invalid trace context is ignored; the view is still counted. */
function recordedTrace({ traceparent, tracestate }: ViewEvent): TraceContext | undefined {
  if (typeof traceparent !== 'string' || !isSampled(traceparent)) return undefined
  return { traceparent, tracestate: toTracestate(tracestate) }
}
