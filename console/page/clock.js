/** Smaller differences are ignored: a `Date` header has a resolution of one second, and the response takes time. */
const TOLERANCE_MS = 2_000

/** The edge's clock, which sets the timestamps of views. The browser's clock may be wrong. */
export function createClock() {
  let offsetMs = 0
  return {
    /** Seconds since 1970. */
    now: () => (Date.now() + offsetMs) / 1_000,
    /** @param {Response} response */
    sync(response) {
      const skewMs = Date.parse(response.headers.get('date') ?? '') - Date.now()
      offsetMs = Math.abs(skewMs) > TOLERANCE_MS ? skewMs : 0
    },
  }
}
