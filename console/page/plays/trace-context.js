/** @param {number} bytes */
function randomHex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join(
    '',
  )
}

/** A new trace that is recorded (W3C Trace Context). */
export function startTrace() {
  const traceId = randomHex(16)
  return { traceId, traceparent: `00-${traceId}-${randomHex(8)}-01` }
}

/** For requests that only watch the system: their traces would replace those of plays. */
export const UNRECORDED = { traceparent: `00-${randomHex(16)}-${randomHex(8)}-00` }
