/** The part of the time that paced work may take, where it takes long. */
const SHARE = 0.1

export type Pacer = {
  /** Has the work done soon, once however often this is called before. */
  request(): void
  /** What was requested is not done any more. */
  stop(): void
}

/** Spaces work that gathers: at least `everyMs` pass between two times, and ten times as long as it took, where that is more. */
export function createPacer(work: () => void, everyMs: number): Pacer {
  let timer: NodeJS.Timeout | undefined
  let earliest = performance.now()

  function run(): void {
    timer = undefined
    const started = performance.now()
    earliest = started + everyMs
    work()
    // Node puts what is written in a turn off to its end: that belongs to the work.
    process.nextTick(() => {
      earliest = started + Math.max(everyMs, (performance.now() - started) / SHARE)
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
