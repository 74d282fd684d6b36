/** A larger drift means that the clock was set, or that the machine slept. */
const MAX_DRIFT_MS = 5

/**
 * Creates a clock that returns milliseconds since the Unix epoch with microsecond precision, so that spans from
 * different processes can be compared.
 */
export function createWallClock(): () => number {
  let offset = performance.timeOrigin
  return () => {
    const drift = Date.now() - (offset + performance.now())
    if (Math.abs(drift) > MAX_DRIFT_MS) offset += drift
    return offset + performance.now()
  }
}

/** Formats a time as RFC 3339, with microsecond precision. */
export function toTimestamp(ms: number): string {
  const whole = Math.floor(ms)
  const micros = String(Math.floor((ms - whole) * 1_000)).padStart(3, '0')
  return new Date(whole).toISOString().replace('Z', `${micros}Z`)
}
