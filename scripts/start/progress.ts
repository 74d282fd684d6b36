import { Readiness } from '../../shared/contracts/readiness.ts'
import { sleep } from '../../shared/runtime/sleep.ts'

const POLL_MS = 100
/** After this time, a process that accepts connections but does not respond counts as starting. */
const RESPONSE_TIMEOUT_MS = 2_000

/** `replaying`: all services are ready, but the counts are not current yet. */
export type Progress = 'starting' | 'replaying' | 'ready'

/**
 * Waits until all services are ready and the counts are current, but no longer than about `timeoutMs`.
 * @returns the progress at the end
 */
export async function waitUntilReady(
  origins: readonly string[],
  { timeoutMs, ended }: { timeoutMs: number; ended: AbortSignal },
): Promise<Progress> {
  const limit = performance.now() + timeoutMs
  let progress = await readProgress(origins, ended)
  while (progress !== 'ready' && performance.now() < limit && !ended.aborted) {
    await sleep(POLL_MS, ended)
    progress = await readProgress(origins, ended)
  }
  return progress
}

async function readProgress(origins: readonly string[], ended: AbortSignal): Promise<Progress> {
  const signal = AbortSignal.any([ended, AbortSignal.timeout(RESPONSE_TIMEOUT_MS)])
  const readings = origins.map(async (origin) => {
    const response = await fetch(`${origin}/readyz`, { signal })
    const { counting } = Readiness.parse(await response.json())
    return { isReady: response.ok, isCurrent: !counting || counting.state === 'current' }
  })
  const instances = await Promise.all(readings).catch(() => [])
  if (instances.length === 0 || !instances.every(({ isReady }) => isReady)) return 'starting'
  return instances.every(({ isCurrent }) => isCurrent) ? 'ready' : 'replaying'
}
