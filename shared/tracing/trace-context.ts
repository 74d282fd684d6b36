import { randomFillSync } from 'node:crypto'

/** W3C Trace Context (https://www.w3.org/TR/trace-context/), as propagated between processes. */
export type TraceContext = { traceparent: string; tracestate?: string | undefined }

/** An incoming trace context: not validated, and possibly missing. */
export type IncomingTrace = { traceparent?: string | undefined; tracestate?: string | undefined }

/** The fields of a traceparent: a trace id of 32 hexadecimal digits, a span id of 16, and the sampled flag. */
export type TraceIds = { traceId: string; spanId: string; isSampled: boolean }

/**
 * Leaves room for fields that later versions may add. Longer text is rejected, because the ids are slices of the text,
 * which keep all of it in memory.
 */
const MAX_LENGTH = 256
const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/

/**
 * Returns undefined if the text is malformed. For a later version, reads only the fields of version 00, as the
 * specification requires.
 */
export function parseTraceparent(text: string): TraceIds | undefined {
  if (text.length > MAX_LENGTH) return undefined
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(text) ?? []
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

const FLAGS_OFFSET = 53

/** Returns true if the trace is sampled. Most traces are not sampled, so the common case avoids parsing. */
export function isSampled(traceparent: string): boolean {
  if (traceparent.startsWith('00', FLAGS_OFFSET)) return false
  return parseTraceparent(traceparent)?.isSampled ?? false
}

/** The specification requires support for 512 characters. Servers may reject longer or non-ASCII headers. */
const TRACESTATE = /^[\x20-\x7e]{1,512}$/

/** The tracestate to propagate: the unchanged text, or undefined if it is not safe to send. */
export function toTracestate(text: unknown): string | undefined {
  return typeof text === 'string' && TRACESTATE.test(text) ? text : undefined
}

export function toTraceparent({ traceId, spanId, isSampled }: TraceIds): string {
  // join() makes a flat string. Concatenation makes a rope, and JSON.stringify takes its slow path for ropes.
  return ['00', traceId, spanId, isSampled ? '01' : '00'].join('-')
}

const ID_BYTES = 24
const pool = Buffer.alloc(ID_BYTES * 1_024)
let used = pool.length

/** The ids of a new trace that is not sampled. Random bytes come from a pool, with one system call per 1,024 traces. */
export function createTraceIds(): TraceIds {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const hex = pool.toString('hex', used, used + ID_BYTES)
  used += ID_BYTES
  return { traceId: hex.slice(0, 32), spanId: hex.slice(32), isSampled: false }
}
