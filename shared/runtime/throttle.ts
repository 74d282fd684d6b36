/** The share of one core that throttled work may use. */
const MAX_CPU_SHARE = 0.1

type Throttle = {
  /** Schedules the work. Requests made before the work runs are coalesced. */
  request(): void
  /** Cancels scheduled work. */
  cancel(): void
}

/**
 * Runs `work` at most once every `everyMs` milliseconds. Expensive work runs less often, so that it uses no more than a
 * tenth of a core.
 */
export function createThrottle(work: () => void, everyMs: number): Throttle {
  let timer: NodeJS.Timeout | undefined
  let earliest = performance.now()

  function run(): void {
    timer = undefined
    const startedAt = performance.now()
    const before = process.threadCpuUsage()
    earliest = startedAt + everyMs
    work()
    // Node flushes socket writes at the end of the tick; include their CPU time.
    process.nextTick(() => {
      const { user, system } = process.threadCpuUsage(before)
      earliest = startedAt + Math.max(everyMs, (user + system) / 1_000 / MAX_CPU_SHARE)
    })
  }

  return {
    request() {
      timer ??= setTimeout(run, Math.max(0, earliest - performance.now()))
    },
    cancel() {
      clearTimeout(timer)
      timer = undefined
    },
  }
}
