const MIN_TICKS = 5
/** The round trip that is assumed until the first response. */
const INITIAL_ROUND_TRIP_TICKS = 4
/** Caps the measured round trip, because a response that waits behind a large message takes longer. */
const MAX_ROUND_TRIP_TICKS = 10
/** The assumed minimum rate at which published data is transferred: 4 Mbit/s. */
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
    /** @param bytesSent the number of bytes sent over the connection so far */
    onPing(bytesSent: number): void {
      pinged = bytesSent
    },
    /** @param ticks the number of ticks since the ping */
    onPong(ticks: number): void {
      if (transferTicks() === 0) roundTripTicks = Math.min(ticks, MAX_ROUND_TRIP_TICKS)
      acknowledged = pinged
    },
  }
}
