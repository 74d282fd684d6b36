/** Tracks the remaining time of a fault that a control caused. Changes to the system clock do not affect it. */
export function createFault() {
  let until = 0
  let timer: NodeJS.Timeout | undefined

  function end(): void {
    clearTimeout(timer)
    until = 0
  }

  return {
    /** Replaces the current fault. Calls `onEnd` after `ms`, unless the fault ends or is replaced earlier. */
    begin(ms: number, onEnd?: () => void): void {
      end()
      until = performance.now() + ms
      if (onEnd) timer = setTimeout(onEnd, ms)
    },
    end,
    /** The remaining time in milliseconds; 0 if there is no fault. */
    remaining: () => Math.max(0, until - performance.now()),
  }
}
