/** @param {number} bytes */
function randomHex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join(
    '',
  )
}

/** Starts a trace with the sampled flag (W3C Trace Context), so that it is recorded. */
export function startTrace() {
  const traceId = randomHex(16)
  return { traceId, traceparent: `00-${traceId}-${randomHex(8)}-01` }
}

/** Headers for requests that only observe the system: recording these requests would displace the traces of plays. */
export const UNRECORDED = { traceparent: `00-${randomHex(16)}-${randomHex(8)}-00` }
