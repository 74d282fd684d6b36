import { type KeptTraces, nothingKept } from './kept-traces.ts'
import {
  createTraceIds,
  type IncomingTrace,
  parseTraceparent,
  type TraceContext,
  toTraceparent,
  toTracestate,
} from './trace-context.ts'

/** https://opentelemetry.io/docs/specs/otel/trace/api/#spankind */
type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer'

/** Names follow OpenTelemetry's semantic conventions. */
export type Attributes = Record<string, string | number>

export type SpanOptions = {
  kind?: SpanKind
  attributes?: Attributes
  /** Other spans that caused this span. */
  links?: TraceContext[] | undefined
}

/** One operation in a trace. Its context is propagated to upstream calls. */
export type Span = TraceContext & {
  traceId: string
  /** If false, the span is dropped: do not compute attributes for it. */
  isRecorded: boolean
  child(name: string, options?: SpanOptions): Span
  /** Adds attributes. */
  annotate(attributes: Attributes): void
  end(outcome?: { name?: string; attributes?: Attributes; error?: unknown }): void
}

export type Tracing = AsyncDisposable & {
  /** Starts a span in the caller's trace, or in a new one if `parent` is missing or malformed. */
  start(name: string, parent: IncomingTrace, options?: SpanOptions): Span
  /** The most recently recorded traces. */
  kept: KeptTraces
}

/** The request on whose behalf a call is made. */
export type RequestContext = { requestId: string; span: Span }

/** Records nothing, but propagates incoming traces. */
export const nonRecordingTracing: Tracing = {
  start(_, { traceparent, tracestate }) {
    const parent = traceparent === undefined ? undefined : parseTraceparent(traceparent)
    if (!parent) return startNonRecordingSpan()
    return nonRecordingSpan(parent.traceId, toTraceparent(parent), toTracestate(tracestate))
  },
  kept: nothingKept,
  async [Symbol.asyncDispose]() {},
}

/** Starts a trace that is not recorded, for calls such as health checks. */
export function startNonRecordingSpan(): Span {
  const ids = createTraceIds()
  return nonRecordingSpan(ids.traceId, toTraceparent(ids), undefined)
}

/** A span that only propagates its context. `child` returns the same span, which saves allocations. */
export function nonRecordingSpan(traceId: string, traceparent: string, tracestate: string | undefined): Span {
  return { traceId, traceparent, tracestate, isRecorded: false, child: self, annotate: noop, end: noop }
}

function self(this: Span): Span {
  return this
}

function noop(): void {}
