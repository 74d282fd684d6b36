import {
  type Span as ApiSpan,
  type SpanOptions as ApiSpanOptions,
  type Context,
  createTraceState,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  type ReadableSpan,
  type Sampler,
  SamplingDecision,
  type SpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { TraceSpan } from '../contracts/trace.ts'
import type { Logger } from '../runtime/log.ts'
import { createLogThrottle } from '../runtime/log-throttle.ts'
import { version } from '../runtime/version.ts'
import { createTraceStore, nothingKept, type TraceStore } from './kept-traces.ts'
import { createSampler } from './sampler.ts'
import type { TracingSettings } from './settings.ts'
import { parseTraceparent, type TraceContext, toTraceparent, toTracestate } from './trace-context.ts'
import { type Attributes, nonRecordingSpan, type Span, type SpanOptions, type Tracing } from './tracing.ts'
import { toTimestamp } from './wall-clock.ts'

const EXPORT_INTERVAL_MS = 1_000
/** After this timeout, spans are dropped. It also bounds how long an unreachable collector delays shutdown. */
const EXPORT_TIMEOUT_MS = 2_000

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
}

const kindNames: Record<SpanKind, TraceSpan['kind']> = {
  [SpanKind.INTERNAL]: 'internal',
  [SpanKind.SERVER]: 'server',
  [SpanKind.CLIENT]: 'client',
  [SpanKind.PRODUCER]: 'producer',
  [SpanKind.CONSUMER]: 'consumer',
}

/** Records spans and exports them over OTLP/HTTP. A failed export drops its spans, but never delays a request. */
export function createOtelTracing(
  settings: TracingSettings & { endpoint: string },
  { name, log }: { name: string; log: Logger },
): Tracing {
  logDiagnostics(log)
  const exporter = new OTLPTraceExporter({ url: `${settings.endpoint}/v1/traces`, timeoutMillis: EXPORT_TIMEOUT_MS })
  const store = settings.TRACES_KEPT > 0 ? createTraceStore(settings.TRACES_KEPT) : undefined
  const provider = new TracerProvider({
    resource: resourceOf(name),
    sampler: toOtelSampler(settings),
    spanProcessors: [
      new BatchSpanProcessor({ exporter, scheduledDelayMillis: EXPORT_INTERVAL_MS }),
      ...(store ? [keepIn(store, name)] : []),
    ],
  })
  const tracer = provider.getTracer('video-edge-aggregator', version)

  function startSpan(name: string, context: Context, { kind = 'internal', attributes, links }: SpanOptions = {}): Span {
    const options: ApiSpanOptions = { kind: kinds[kind] }
    if (attributes) options.attributes = attributes
    if (links) options.links = links.flatMap((link) => toSpanContext(link) ?? []).map((context) => ({ context }))
    const span = tracer.startSpan(name, options, context)
    const { traceId, spanId, traceState } = span.spanContext()
    const isRecorded = span.isRecording()
    const traceparent = toTraceparent({ traceId, spanId, isSampled: isRecorded })
    if (!isRecorded) return nonRecordingSpan(traceId, traceparent, traceState?.serialize())
    return {
      traceId,
      traceparent,
      tracestate: traceState?.serialize(),
      isRecorded,
      child: (name, options) => startSpan(name, trace.setSpan(ROOT_CONTEXT, span), options),
      annotate: (attributes) => void span.setAttributes(attributes),
      end: (outcome = {}) => end(span, outcome),
    }
  }

  return {
    start(name, { traceparent = '', tracestate }, options) {
      const parent = toSpanContext({ traceparent, tracestate })
      return startSpan(name, parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT, options)
    },
    kept: store ?? nothingKept,
    async [Symbol.asyncDispose]() {
      await provider.shutdown().catch((err: unknown) => log.warn({ err }, 'the last spans were not exported'))
    },
  }
}

function toOtelSampler(settings: TracingSettings): Sampler {
  const sample = createSampler(settings)
  return {
    shouldSample(context, traceId) {
      const parent = trace.getSpanContext(context)
      const isSampled = sample(
        traceId,
        parent && { ...parent, isSampled: (parent.traceFlags & TraceFlags.SAMPLED) > 0 },
      )
      return { decision: isSampled ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD }
    },
    toString: () => `VideoEdge{${settings.OTEL_TRACES_SAMPLER ?? 'default'}}`,
  }
}

/** Creates a span processor that keeps spans in memory, in addition to their export. */
function keepIn(store: TraceStore, service: string): SpanProcessor {
  return {
    onStart() {},
    onEnd: (span) => store.add(toTraceSpan(span, service)),
    async forceFlush() {},
    async shutdown() {},
  }
}

function toTraceSpan(span: ReadableSpan, service: string): TraceSpan {
  const { traceId, spanId } = span.spanContext()
  const [seconds, nanos] = span.startTime
  return {
    service,
    name: span.name,
    kind: kindNames[span.kind],
    traceId,
    spanId,
    parentSpanId: span.parentSpanContext?.spanId ?? null,
    at: toTimestamp(seconds * 1_000 + nanos / 1e6),
    durationMs: Math.round(span.duration[0] * 1e6 + span.duration[1] / 1e3) / 1e3,
    attributes: toPlain(span.attributes),
    links: span.links.map(({ context }) => ({ traceId: context.traceId, spanId: context.spanId })),
    error: span.status.code === SpanStatusCode.ERROR ? (span.status.message ?? 'failed') : null,
  }
}

/** Keeps only strings and numbers: this project sets no attributes of other types. */
function toPlain(attributes: ReadableSpan['attributes']): Attributes {
  const entries = Object.entries(attributes).filter(
    (entry): entry is [string, string | number] => typeof entry[1] === 'string' || typeof entry[1] === 'number',
  )
  return Object.fromEntries(entries)
}

function end(span: ApiSpan, { name, attributes, error }: NonNullable<Parameters<Span['end']>[0]>): void {
  if (name !== undefined) span.updateName(name)
  if (attributes) span.setAttributes(attributes)
  if (error instanceof Error) {
    span.setAttribute('error.type', error.name)
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message })
  }
  span.end()
}

function toSpanContext({ traceparent, tracestate: given }: TraceContext): SpanContext | undefined {
  const ids = parseTraceparent(traceparent)
  const tracestate = toTracestate(given)
  if (!ids) return undefined
  const { traceId, spanId, isSampled } = ids
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE
  return {
    traceId,
    spanId,
    traceFlags,
    isRemote: true,
    ...(tracestate && { traceState: createTraceState(tracestate) }),
  }
}

/** OTEL_RESOURCE_ATTRIBUTES cannot override the service name, because all services may share the variable. */
function resourceOf(name: string) {
  const own = resourceFromAttributes({ 'service.name': name, 'service.version': version })
  return defaultResource()
    .merge(detectResources({ detectors: [envDetector] }))
    .merge(own)
}

/** Logs the SDK's errors and warnings, throttled, because the SDK reports every failed export. */
function logDiagnostics(log: Logger): void {
  const throttle = createLogThrottle(60_000)
  const report = (message: string) => {
    const times = throttle('export')
    if (times) log.warn({ reason: message, times }, 'span export failed')
  }
  const noop = () => {}
  diag.setLogger(
    { error: report, warn: report, info: noop, debug: noop, verbose: noop },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
}
