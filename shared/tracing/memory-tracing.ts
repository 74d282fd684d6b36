import type { TraceSpan } from '../contracts/trace.ts'
import type { TraceStore } from './kept-traces.ts'
import { createRateLimit, type Sampler } from './sampler.ts'
import {
  createTraceIds,
  type IncomingTrace,
  parseTraceparent,
  type TraceContext,
  type TraceIds,
  toTraceparent,
  toTracestate,
} from './trace-context.ts'
import { type Attributes, nonRecordingSpan, type Span, type SpanOptions, type Tracing } from './tracing.ts'
import { createWallClock, toTimestamp } from './wall-clock.ts'

/** Limits the traces that callers sample, because anyone may send a sampled `traceparent`. */
const MAX_SAMPLED_BY_CALLERS_PER_SECOND = 100

type Deps = {
  /** The service's name. */
  service: string
  sample: Sampler
  store: TraceStore
}

/** A span's position in its trace. */
type Place = { traceId: string; parentSpanId: string | null; tracestate: string | undefined }

/** Keeps recorded spans in memory, without the OpenTelemetry SDK. */
export function createMemoryTracing({ service, sample, store }: Deps): Tracing {
  const now = createWallClock()
  const mayCallerSample = createRateLimit(MAX_SAMPLED_BY_CALLERS_PER_SECOND)

  function isSampled(name: string, { traceId }: TraceIds, parent: TraceIds | undefined): boolean {
    // Skip reads that no caller samples, such as requests for static files: they would evict the traces of plays.
    if (!parent && name === 'GET') return false
    if (!sample(traceId, parent)) return false
    return !parent || store.hasRoom(traceId) || mayCallerSample()
  }

  function start(name: string, incoming: IncomingTrace, options?: SpanOptions): Span {
    const parent = incoming.traceparent === undefined ? undefined : parseTraceparent(incoming.traceparent)
    const ids = parent ?? createTraceIds()
    const tracestate = parent && toTracestate(incoming.tracestate)
    if (isSampled(name, ids, parent)) {
      return record(name, { traceId: ids.traceId, parentSpanId: parent?.spanId ?? null, tracestate }, options)
    }
    // If the caller sampled the trace, use a new span id. The caller's span id must not be propagated as not sampled.
    const own = parent?.isSampled ? { ...createTraceIds(), traceId: ids.traceId } : ids
    return nonRecordingSpan(ids.traceId, toTraceparent(own), tracestate)
  }

  function record(name: string, place: Place, options: SpanOptions = {}): Span {
    const { traceId, tracestate } = place
    const { spanId } = createTraceIds()
    const startedAt = now()
    const attributes: Attributes = { ...options.attributes }
    return {
      traceId,
      traceparent: toTraceparent({ traceId, spanId, isSampled: true }),
      tracestate,
      isRecorded: true,
      child: (name, options) => record(name, { traceId, parentSpanId: spanId, tracestate }, options),
      annotate: (more) => void Object.assign(attributes, more),
      end({ name: finalName = name, attributes: more, error } = {}) {
        Object.assign(attributes, more)
        const { parentSpanId } = place
        const { kind = 'internal', links = [] } = options
        const durationMs = round(now() - startedAt)
        const at = toTimestamp(startedAt)
        const common = { service, name: finalName, kind, traceId, spanId, parentSpanId, at, durationMs, attributes }
        store.add({ ...common, links: links.flatMap(toLink), error: toErrorText(error) })
      },
    }
  }

  return { start, kept: store, async [Symbol.asyncDispose]() {} }
}

function toLink({ traceparent }: TraceContext): TraceSpan['links'] {
  const ids = parseTraceparent(traceparent)
  return ids ? [{ traceId: ids.traceId, spanId: ids.spanId }] : []
}

function toErrorText(error: unknown): string | null {
  return error instanceof Error ? `${error.name}: ${error.message}` : null
}

/** Rounds to microseconds. Never returns a negative number, even if the clock was set back. */
function round(ms: number): number {
  return Math.max(0, Math.round(ms * 1_000) / 1_000)
}
