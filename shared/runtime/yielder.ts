import { scheduler } from 'node:timers/promises'

/** How long a computation may block the event loop before it yields. */
const SLICE_MS = 10

/** @returns a function to await after each step of a long computation; it yields to the event loop every 10 ms */
export function createYielder(): () => Promise<void> | undefined {
  let until = performance.now() + SLICE_MS

  async function yieldNow(): Promise<void> {
    await scheduler.yield()
    until = performance.now() + SLICE_MS
  }

  return () => (performance.now() < until ? undefined : yieldNow())
}
