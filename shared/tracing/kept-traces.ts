import type { TraceSpan } from '../contracts/trace.ts'

/**
 * Maximum number of spans per trace. A play causes about ten spans across all services, but anyone may send the same
 * trace id many times.
 */
const MAX_SPANS = 50
/** Maximum length of an attribute, a name or an error. */
const MAX_TEXT = 256
const MAX_LINKS = 100

/** The most recent traces, with the spans that this process recorded. */
export type KeptTraces = {
  /** A trace's spans, and the spans of other traces that link to it because of a shared batch. */
  get(traceId: string): TraceSpan[]
  /** All traces, newest first. */
  all(): TraceSpan[][]
}

export type TraceStore = KeptTraces & {
  /** Keeps a span that has ended. */
  add(span: TraceSpan): void
  /** Returns true if the trace is kept, and has room for another span. */
  hasRoom(traceId: string): boolean
}

export const nothingKept: KeptTraces = { get: () => [], all: () => [] }

/**
 * Keeps recorded traces in memory, and drops the oldest traces first.
 * @param max maximum number of traces
 */
export function createTraceStore(max: number): TraceStore {
  const traces = new Map<string, TraceSpan[]>()

  function open(traceId: string): TraceSpan[] {
    const spans: TraceSpan[] = []
    traces.set(traceId, spans)
    const [oldest] = traces.keys()
    if (traces.size > max && oldest !== undefined) traces.delete(oldest)
    return spans
  }

  return {
    add(span) {
      const spans = traces.get(span.traceId) ?? open(span.traceId)
      // Drop a span from the middle. The first spans show how the trace began, and the last ones how it ended, for
      // example after many retries.
      if (spans.length >= MAX_SPANS) spans.splice(MAX_SPANS / 2, 1)
      spans.push(toBounded(span))
    },
    hasRoom: (traceId) => (traces.get(traceId)?.length ?? MAX_SPANS) < MAX_SPANS,
    get(traceId) {
      const linked = [...traces.values()].flatMap((spans) => spans.filter((span) => isLinkedTo(span, traceId)))
      return [...(traces.get(traceId) ?? []), ...linked].toSorted(byStart)
    },
    all: () => [...traces.values()].toReversed(),
  }
}

/** Compares spans by their start time. */
export function byStart(a: Pick<TraceSpan, 'at'>, b: Pick<TraceSpan, 'at'>): number {
  if (a.at === b.at) return 0
  return a.at < b.at ? -1 : 1
}

function isLinkedTo(span: TraceSpan, traceId: string): boolean {
  return span.traceId !== traceId && span.links.some((link) => link.traceId === traceId)
}

function toBounded(span: TraceSpan): TraceSpan {
  return {
    ...span,
    name: span.name.slice(0, MAX_TEXT),
    attributes: toBoundedAttributes(span.attributes),
    links: span.links.slice(0, MAX_LINKS),
    error: span.error?.slice(0, MAX_TEXT) ?? null,
  }
}

function toBoundedAttributes(attributes: TraceSpan['attributes']): TraceSpan['attributes'] {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [
      name,
      typeof value === 'string' ? value.slice(0, MAX_TEXT) : value,
    ]),
  )
}
