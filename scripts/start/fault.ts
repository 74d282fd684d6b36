/** How long a fault lasts that a control causes. The clock may be set meanwhile. */
export function createFault() {
  let until = 0
  let timer: NodeJS.Timeout | undefined

  function end(): void {
    clearTimeout(timer)
    until = 0
  }

  return {
    /** Replaces the current fault. Calls `onEnd` after `ms`, unless it is ended or replaced before. */
    begin(ms: number, onEnd?: () => void): void {
      end()
      until = performance.now() + ms
      if (onEnd) timer = setTimeout(onEnd, ms)
    },
    end,
    /** Milliseconds; 0 without a fault. */
    remaining: () => Math.max(0, until - performance.now()),
  }
}
