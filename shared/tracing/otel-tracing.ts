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
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Logger } from '../runtime/log.ts'
import { createSeldom } from '../runtime/seldom.ts'
import { version } from '../runtime/version.ts'
import { createSampler } from './sampler.ts'
import type { TracingSettings } from './settings.ts'
import { parseTraceparent, type TraceContext, toTraceparent, toTracestate } from './trace-context.ts'
import { passOn, type Span, type SpanOptions, type Tracing } from './tracing.ts'

/** How often what has gathered is sent. */
const SEND_EVERY_MS = 1_000
/** How long sending may take before its spans are dropped. It bounds what a dead receiver adds to the end of the process. */
const SEND_LIMIT_MS = 2_000

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
}

/** Records spans, and sends them by OTLP over HTTP. What cannot be sent is dropped, and costs no request anything. */
export function createOtelTracing(
  settings: TracingSettings & { endpoint: string },
  { name, log }: { name: string; log: Logger },
): Tracing {
  logProblems(log)
  const exporter = new OTLPTraceExporter({ url: `${settings.endpoint}/v1/traces`, timeoutMillis: SEND_LIMIT_MS })
  const provider = new TracerProvider({
    resource: resourceOf(name),
    sampler: createSampler(settings),
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: SEND_EVERY_MS })],
  })
  const tracer = provider.getTracer('video-edge-aggregator', version)

  function begin(name: string, context: Context, { kind = 'internal', attributes, links }: SpanOptions = {}): Span {
    const options: ApiSpanOptions = { kind: kinds[kind] }
    if (attributes) options.attributes = attributes
    if (links) options.links = links.flatMap((link) => toSpanContext(link) ?? []).map((context) => ({ context }))
    const span = tracer.startSpan(name, options, context)
    const { traceId, spanId, traceState } = span.spanContext()
    const isRecorded = span.isRecording()
    const traceparent = toTraceparent({ traceId, spanId, isSampled: isRecorded })
    if (!isRecorded) return passOn(traceId, traceparent, traceState?.serialize())
    return {
      traceId,
      traceparent,
      tracestate: traceState?.serialize(),
      isRecorded,
      child: (name, options) => begin(name, trace.setSpan(ROOT_CONTEXT, span), options),
      end: (outcome = {}) => end(span, outcome),
    }
  }

  return {
    start(name, { traceparent = '', tracestate }, options) {
      const parent = toSpanContext({ traceparent, tracestate })
      return begin(name, parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT, options)
    },
    async [Symbol.asyncDispose]() {
      await provider.shutdown().catch((err: unknown) => log.warn({ err }, 'the last spans were not sent'))
    },
  }
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

/** OTEL_RESOURCE_ATTRIBUTES may say more. Not another name: it would be the same for all services. */
function resourceOf(name: string) {
  const own = resourceFromAttributes({ 'service.name': name, 'service.version': version })
  return defaultResource()
    .merge(detectResources({ detectors: [envDetector] }))
    .merge(own)
}

/** A receiver that is away would fill the log. */
function logProblems(log: Logger): void {
  const seldom = createSeldom(60_000)
  const tell = (message: string) => {
    const times = seldom('spans')
    if (times) log.warn({ reason: message, times }, 'spans are not sent')
  }
  const ignore = () => {}
  diag.setLogger(
    { error: tell, warn: tell, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
}
