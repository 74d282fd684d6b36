import { setTimeout } from 'node:timers/promises'

/** Resolves after `ms` milliseconds, or as soon as `signal` aborts. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await setTimeout(ms, undefined, signal && { signal }).catch(() => undefined)
}
