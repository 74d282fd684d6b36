import { json } from 'node:stream/consumers'
import { z } from 'zod'
import { startHttpServer } from '../../shared/testing/http-server.ts'

const Attributes = z
  .array(z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) }))
  .transform((all) => Object.fromEntries(all.map(({ key, value }) => [key, Object.values(value)[0]])))

const nanos = z.string().regex(/^\d{19}$/)

const ReceivedSpan = z.object({
  traceId: z.string().regex(/^[\da-f]{32}$/),
  spanId: z.string().regex(/^[\da-f]{16}$/),
  parentSpanId: z.string().optional(),
  traceState: z.string().optional(),
  name: z.string().min(1),
  kind: z.int().min(1).max(5),
  startTimeUnixNano: nanos,
  endTimeUnixNano: nanos,
  attributes: Attributes,
  links: z.array(z.object({ traceId: z.string(), spanId: z.string() })),
  status: z.object({ code: z.int(), message: z.string().optional() }),
})

/** `ExportTraceServiceRequest` in JSON (https://opentelemetry.io/docs/specs/otlp/#otlphttp). */
const ExportRequest = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: Attributes }),
      scopeSpans: z.array(z.object({ scope: z.object({ name: z.string() }), spans: z.array(ReceivedSpan) })),
    }),
  ),
})

/** A span, with the attributes of the resource that sent it. */
export type ReceivedSpan = z.output<typeof ReceivedSpan> & { resource: Record<string, unknown> }

export type OtlpReceiver = AsyncDisposable & {
  url: string
  spans: ReceivedSpan[]
  /** Errors from requests that could not be parsed. */
  errors: unknown[]
}

/** Receives spans from OTLP/HTTP exporters. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = []
  const errors: unknown[] = []
  const server = await startHttpServer(async (request, response) => {
    try {
      if (request.method !== 'POST' || request.url !== '/v1/traces') throw new Error(`${request.method} ${request.url}`)
      const { resourceSpans } = ExportRequest.parse(await json(request))
      for (const { resource, scopeSpans } of resourceSpans) {
        for (const scope of scopeSpans) {
          spans.push(...scope.spans.map((span) => ({ ...span, resource: resource.attributes })))
        }
      }
      response.setHeader('content-type', 'application/json').end('{}')
    } catch (error) {
      errors.push(error)
      response.writeHead(400).end()
    }
  })
  return {
    ...server,
    spans,
    errors,
  }
}
