import { z } from 'zod'
import { Problem } from './status.ts'
import { View } from './view.ts'

const TraceId = z
  .string()
  .regex(/^[\da-f]{32}$/, { error: 'must be 32 lowercase hexadecimal digits' })
  .meta({ description: 'A trace id (W3C Trace Context)', examples: ['4bf92f3577b34da6a3ce929d0e0e4736'] })

const SpanId = z
  .string()
  .regex(/^[\da-f]{16}$/)
  .meta({ examples: ['00f067aa0ba902b7'] })

export const TraceParams = z.object({ traceId: TraceId })

/** Attributes that only the spans of plays have. */
export const PLAY_ATTRIBUTES = {
  requestId: 'request.id',
  viewId: 'view.id',
  assetId: 'asset.id',
  userId: 'user.id',
} as const

/** The attribute that holds the number of plays in a batched lookup, or of views in a batched append or count. */
export const BATCH_SIZE = 'batch.size'

/** One operation in a trace, as OpenTelemetry defines it. */
export const TraceSpan = z
  .object({
    service: z.string().meta({ description: 'The service that recorded the span' }),
    name: z.string(),
    kind: z.enum(['internal', 'server', 'client', 'producer', 'consumer']),
    traceId: TraceId.meta({
      description: 'Differs from the requested id if the span belongs to a batch that both traces share',
    }),
    spanId: SpanId,
    parentSpanId: SpanId.nullable(),
    at: z.iso.datetime().meta({ description: 'Start time with microsecond precision (RFC 3339)' }),
    durationMs: z.number().nonnegative(),
    attributes: z.record(z.string(), z.union([z.string(), z.number()])).meta({
      description: 'Strings are truncated to 256 characters',
    }),
    links: z.array(z.object({ traceId: TraceId, spanId: SpanId })).meta({
      description: 'Spans of other plays in the same batch',
    }),
    error: z.string().nullable().meta({ description: 'Why the operation failed; null if it succeeded' }),
  })
  .meta({ id: 'TraceSpan' })
export type TraceSpan = z.infer<typeof TraceSpan>

const EXAMPLE = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spans: [
    {
      service: 'reporting',
      name: 'POST /events/lookup',
      kind: 'server' as const,
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      spanId: '00f067aa0ba902b7',
      parentSpanId: 'b7ad6b7169203331',
      at: '2026-11-20T21:00:12.000250Z',
      durationMs: 0.412,
      attributes: { 'http.request.method': 'POST', 'http.response.status_code': 200 },
      links: [],
      error: null,
    },
  ],
}

/** `GET /traces/:traceId`: the spans that one process has recorded for a trace, ordered by start time. */
export const Trace = z
  .object({ traceId: TraceId, spans: z.array(TraceSpan) })
  .meta({ id: 'Trace', examples: [EXAMPLE] })
export type Trace = z.infer<typeof Trace>

export const TraceNotFound = z
  .object({ traceId: z.string(), status: z.literal('Trace not found'), requestId: Problem.shape.requestId })
  .meta({
    id: 'TraceNotFound',
    examples: [{ traceId: EXAMPLE.traceId, status: 'Trace not found', requestId: EXAMPLE.traceId }],
  })
export type TraceNotFound = z.infer<typeof TraceNotFound>

const missingServices = z.array(z.string()).meta({ description: 'Services with an instance that did not respond' })

/** play's `GET /traces/:traceId`: the spans that all processes have recorded for a trace. */
export const SystemTrace = Trace.extend({ missing: missingServices }).meta({
  id: 'SystemTrace',
  examples: [{ ...EXAMPLE, missing: ['queue-listener'] }],
})
export type SystemTrace = z.infer<typeof SystemTrace>

const VIEW_ID = '01a1fac2-7b60-7abc-8def-0123456789ab'

/** A play whose trace was recorded. */
export const TracedPlay = z
  .object({
    traceId: TraceId,
    requestId: z.string(),
    viewId: z.string().nullable().meta({ description: 'null if no view was recorded' }),
    assetId: z.string(),
    userId: z.string(),
    at: z.iso.datetime(),
    durationMs: z.number().nonnegative(),
    status: z.int().meta({ description: "The response's HTTP status" }),
  })
  .meta({ id: 'TracedPlay' })
export type TracedPlay = z.infer<typeof TracedPlay>

export const TracedPlaysQuery = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  viewId: View.shape.id.optional().meta({ description: 'Only the play that recorded this view', examples: [VIEW_ID] }),
  local: z
    .literal('true')
    .optional()
    .meta({ description: 'Returns only what the responding process has recorded', examples: ['true'] }),
})
export type TracedPlaysQuery = z.infer<typeof TracedPlaysQuery>
export const TraceQuery = TracedPlaysQuery.pick({ local: true })

/** play's `GET /traces`: the most recent plays whose traces were recorded, newest first. */
export const TracedPlays = z.object({ traces: z.array(TracedPlay), missing: missingServices }).meta({
  id: 'TracedPlays',
  examples: [
    {
      traces: [
        {
          traceId: EXAMPLE.traceId,
          requestId: EXAMPLE.traceId,
          viewId: VIEW_ID,
          assetId: '456',
          userId: '8',
          at: '2026-11-20T21:00:12.000125Z',
          durationMs: 3.2,
          status: 200,
        },
      ],
      missing: [],
    },
  ],
})
export type TracedPlays = z.infer<typeof TracedPlays>
