const MIN_TICKS = 5
/** Assumed until the first response. */
const INITIAL_ROUND_TRIP_TICKS = 4
/** An upper bound, because a response that waits behind a large message takes longer than a round trip. */
const MAX_ROUND_TRIP_TICKS = 10
/** The slowest connection on which a large message may be published: 4 Mbit/s. */
const MIN_BYTES_PER_TICK = 50_000

/**
 * How many ticks of 100 ms a healthy server may be silent after a ping: half a second, or two round trips plus 200 ms
 * if that is longer. The transfer time of published data is added, because the response waits behind that data.
 */
export function createSilenceLimit() {
  let roundTripTicks = INITIAL_ROUND_TRIP_TICKS
  let pinged = 0
  let acknowledged = 0
  const transferTicks = () => Math.floor((pinged - acknowledged) / MIN_BYTES_PER_TICK)

  return {
    ticks: () => Math.max(MIN_TICKS, 2 * roundTripTicks + 2) + transferTicks(),
    /** @param bytesSent over the connection so far */
    onPing(bytesSent: number): void {
      pinged = bytesSent
    },
    /** @param ticks since the ping */
    onPong(ticks: number): void {
      if (transferTicks() === 0) roundTripTicks = Math.min(ticks, MAX_ROUND_TRIP_TICKS)
      acknowledged = pinged
    },
  }
}
