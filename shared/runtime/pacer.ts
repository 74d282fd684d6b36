/** The part of a core that paced work may take, where it takes much. */
const SHARE = 0.1

export type Pacer = {
  /** Has the work done soon, once however often this is called before. */
  request(): void
  /** What was requested is not done any more. */
  stop(): void
}

/** Spaces work that gathers: at least `everyMs` from one time to the next, and ten times its CPU time, where that is more. */
export function createPacer(work: () => void, everyMs: number): Pacer {
  let timer: NodeJS.Timeout | undefined
  let earliest = performance.now()

  function run(): void {
    timer = undefined
    const started = performance.now()
    const before = process.threadCpuUsage()
    earliest = started + everyMs
    work()
    // Node puts what is written in a turn off to its end: that belongs to the work.
    process.nextTick(() => {
      const { user, system } = process.threadCpuUsage(before)
      earliest = started + Math.max(everyMs, (user + system) / 1_000 / SHARE)
    })
  }

  return {
    request() {
      timer ??= setTimeout(run, Math.max(0, earliest - performance.now()))
    },
    stop() {
      clearTimeout(timer)
      timer = undefined
    },
  }
}
