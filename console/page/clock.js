/** A clock that is right to this is taken for right: a `date` header has whole seconds, and takes its time to come. */
const SKEW_MS = 2_000

/** The edge's time, by which views are told, also in a browser whose clock is wrong. */
export function createClock() {
  let aheadMs = 0
  return {
    /** Seconds since 1970. */
    now: () => (Date.now() + aheadMs) / 1_000,
    /** @param {Response} response */
    hear(response) {
      const difference = Date.parse(response.headers.get('date') ?? '') - Date.now()
      aheadMs = Math.abs(difference) > SKEW_MS ? difference : 0
    },
  }
}
