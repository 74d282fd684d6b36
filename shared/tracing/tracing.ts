import {
  createTraceIds,
  type GivenTrace,
  parseTraceparent,
  type TraceContext,
  toTraceparent,
  toTracestate,
} from './trace-context.ts'

/** As OpenTelemetry names them: https://opentelemetry.io/docs/specs/otel/trace/api/#spankind */
export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer'

/** Named by OpenTelemetry's semantic conventions. */
export type Attributes = Record<string, string | number>

export type SpanOptions = {
  kind?: SpanKind
  attributes?: Attributes
  /** Other work that this is a part of. */
  links?: TraceContext[] | undefined
}

/** A piece of work in a trace. Its context is what is passed on to who does a part of it elsewhere. */
export type Span = TraceContext & {
  traceId: string
  /** Whether anybody will see it. What only shows in a span need not be found out where nobody does. */
  isRecorded: boolean
  /** Begins a part of this work. */
  child(name: string, options?: SpanOptions): Span
  end(outcome?: { name?: string; attributes?: Attributes; error?: unknown }): void
}

export type Tracing = AsyncDisposable & {
  /** Begins work in the trace of who asked for it, or, where that is none or not well formed, in a new one. */
  start(name: string, parent: GivenTrace, options?: SpanOptions): Span
}

/** On whose behalf something is done: the id of the request, under which the logs have it, and its place in a trace. */
export type RequestContext = { requestId: string; span: Span }

/** Records nothing: what comes is passed on as it came, and what comes without a trace gets one. */
export const passingOn: Tracing = {
  start(_, { traceparent, tracestate }) {
    const given = traceparent === undefined ? undefined : parseTraceparent(traceparent)
    return given ? passOn(given.traceId, toTraceparent(given), toTracestate(tracestate)) : beginUnrecorded()
  },
  async [Symbol.asyncDispose]() {},
}

/** A trace that nobody records: for calls that only ask how things are. */
export function beginUnrecorded(): Span {
  const ids = createTraceIds()
  return passOn(ids.traceId, toTraceparent(ids), undefined)
}

/** A span that is not recorded, and stands for all of its parts. */
export function passOn(traceId: string, traceparent: string, tracestate: string | undefined): Span {
  return { traceId, traceparent, tracestate, isRecorded: false, child: itself, end: ignore }
}

function itself(this: Span): Span {
  return this
}

function ignore(): void {}
