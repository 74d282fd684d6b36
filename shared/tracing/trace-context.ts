import { randomFillSync } from 'node:crypto'

/** Where work belongs, as it travels between processes: W3C Trace Context (https://www.w3.org/TR/trace-context/). */
export type TraceContext = {
  traceparent: string
  /** What tracing systems add. */
  tracestate?: string | undefined
}

/** What came of it from elsewhere. */
export type GivenTrace = { [Part in keyof TraceContext]?: TraceContext[Part] | undefined }

/** The parts of a traceparent: 32 and 16 hexadecimal digits. */
export type TraceIds = { traceId: string; spanId: string; isSampled: boolean }

const FORM = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/

/** Undefined for what is no traceparent. Of a later version than ours the parts that we know are taken, as it asks. */
export function parseTraceparent(text: string): TraceIds | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] = FORM.exec(text) ?? []
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

const FLAGS_AT = 53

/** Whether somebody records the trace. Few are, so most are told by one look. */
export function isSampled(traceparent: string): boolean {
  if (traceparent.startsWith('00', FLAGS_AT)) return false
  return parseTraceparent(traceparent)?.isSampled ?? false
}

/** The specification asks to pass on at least 512 characters; more, or others, would have other servers refuse the request. */
const TRACESTATE = /^[\x20-\x7e]{1,512}$/

/** What of a tracestate is passed on: all, or nothing. */
export function toTracestate(text: unknown): string | undefined {
  return typeof text === 'string' && TRACESTATE.test(text) ? text : undefined
}

export function toTraceparent({ traceId, spanId, isSampled }: TraceIds): string {
  // Joined, because a concatenated string is a rope until it is read, and JSON.stringify takes its slow path for ropes.
  return ['00', traceId, spanId, isSampled ? '01' : '00'].join('-')
}

const ID_BYTES = 24
const pool = Buffer.alloc(ID_BYTES * 1_024)
let used = pool.length

/** A trace of its own, that nobody records. */
export function createTraceIds(): TraceIds {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const hex = pool.toString('hex', used, used + ID_BYTES)
  used += ID_BYTES
  return { traceId: hex.slice(0, 32), spanId: hex.slice(32), isSampled: false }
}
