import { randomHex } from '../random-hex.js'

/** Starts a trace with the sampled flag (W3C Trace Context), so that it is recorded. */
export function startTrace() {
  const traceId = randomHex(16)
  return { traceId, traceparent: `00-${traceId}-${randomHex(8)}-01` }
}

/** Headers for requests that only observe the system: recording these requests would displace the traces of plays. */
export const UNRECORDED = { traceparent: `00-${randomHex(16)}-${randomHex(8)}-00` }
