import { services } from '../../services.ts'
import type { ServiceClient } from '../../shared/client/service-client.ts'
import { type SystemTrace, Trace, TraceNotFound, type TraceSpan } from '../../shared/contracts/trace.ts'
import { parseSafely } from '../../shared/runtime/parse-safely.ts'
import { byStart, type KeptTraces } from '../../shared/tracing/kept-traces.ts'
import { isItself } from './itself.ts'

/** The timeout of each of two rounds: first for the trace, then for the batches that it shares with other traces. */
const TIMEOUT_MS = 300
const MAX_BATCHES = 5

/** Collects a trace's spans from all processes, sorted by start time. An unknown trace has no spans. */
export type TraceCollector = (traceId: string) => Promise<SystemTrace>

type Client = Pick<ServiceClient, 'name' | 'getAll'>
type Found = { spans: TraceSpan[]; missing: string[] }

type Deps = {
  kept: KeptTraces
  /** The clients for all services. play's instances may include this process. */
  clients: readonly Client[]
}

export function createTraceCollector({ kept, clients }: Deps): TraceCollector {
  async function collect(traceId: string): Promise<Found> {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const results = await Promise.all(clients.map((client) => readFrom(client, traceId, signal)))
    return {
      spans: [...kept.get(traceId), ...results.flatMap(({ spans }) => spans)],
      missing: results.flatMap(({ missing }) => missing),
    }
  }

  return async function collectTrace(traceId) {
    const found = await collect(traceId)
    const shared = found.spans.filter((span) => span.traceId !== traceId)
    const otherTraceIds = [...new Set(shared.map((span) => span.traceId))].slice(0, MAX_BATCHES)
    const batches = await Promise.all(otherTraceIds.map(collect))
    const descendants = batches.flatMap(({ spans }) => descendantsOf(shared, spans))
    const missingServices = [found, ...batches].flatMap((each) => each.missing)
    return { traceId, spans: toSorted([...found.spans, ...descendants]), missing: [...new Set(missingServices)] }
  }
}

/**
 * Reads a trace's spans from all instances of a service. The service is missing if one of them does not respond, or
 * runs an earlier release, which keeps no traces.
 */
async function readFrom(client: Client, traceId: string, signal: AbortSignal): Promise<Found> {
  const responses = await client.getAll(`/traces/${traceId}?local=true`, signal)
  const traces = responses.map(({ response }) => {
    if (response?.status === 404 && parseSafely(TraceNotFound, response.body).success) return []
    return response?.status === 200 ? parseSafely(Trace, response.body).data?.spans : undefined
  })
  const isOwn = client.name === services.play.name && isItself(responses)
  const isMissing = traces.includes(undefined) && !isOwn
  return { spans: traces.flatMap((spans) => spans ?? []), missing: isMissing ? [client.name] : [] }
}

/** The spans below `ancestors`, at any depth. */
function descendantsOf(ancestors: readonly TraceSpan[], spans: readonly TraceSpan[]): TraceSpan[] {
  const ids = new Set(ancestors.map(({ spanId }) => spanId))
  const children = spans.filter(({ parentSpanId, spanId }) => ids.has(parentSpanId ?? '') && !ids.has(spanId))
  return children.length === 0 ? [] : [...children, ...descendantsOf(children, spans)]
}

/** Sorts spans by start, and removes duplicates. */
function toSorted(spans: readonly TraceSpan[]): TraceSpan[] {
  const unique = new Map(spans.map((span) => [span.spanId, span]))
  return [...unique.values()].toSorted(byStart)
}
