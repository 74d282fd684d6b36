const INTERVAL_MS = 50

/** One late sample is a garbage collection or a scheduler that gave the CPU to others; several in a row are overload. */
const SAMPLES = 4

export type EventLoopDelay = Disposable & {
  /** How many milliseconds the event loop was late at least, over the last samples. */
  ms(): number
}

/**
 * Samples the delay of the event loop with one timer. Like CoDel (RFC 8289), it takes the minimum of an interval: only a
 * queue that does not drain keeps the minimum high.
 *
 * `monitorEventLoopDelay` of Node cannot do this: its histogram has no minimum of the last samples.
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
