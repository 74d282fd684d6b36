const INTERVAL_MS = 50

/** A garbage collection or another process may cause a single late sample; several in a row mean overload. */
const SAMPLES = 4

export type EventLoopDelay = Disposable & {
  /** The minimum event-loop delay over the last samples, in milliseconds. */
  ms(): number
}

/**
 * Samples the event-loop delay with one timer. Like CoDel (RFC 8289), it takes the minimum over an interval: only a
 * queue that does not drain keeps the minimum high.
 *
 * Node's `monitorEventLoopDelay` cannot do this, because its histogram has no minimum over the last few samples.
 */
export function sampleEventLoopDelay(): EventLoopDelay {
  const samples = new Array<number>(SAMPLES).fill(0)
  let last = performance.now()
  let lowest = 0
  const timer = setInterval(() => {
    const now = performance.now()
    samples.shift()
    samples.push(now - last - INTERVAL_MS)
    lowest = Math.max(0, Math.min(...samples))
    last = now
  }, INTERVAL_MS).unref()
  return { ms: () => lowest, [Symbol.dispose]: () => clearInterval(timer) }
}
