import type { Readiness } from '../shared/contracts/readiness.ts'
import type { InstanceStatus } from '../shared/contracts/system-status.ts'

/**
 * An instance is degraded if it responds but is not ready, or if its counts are not current.
 * @param readiness undefined if the instance does not respond
 */
export function toState(readiness: Readiness | undefined): InstanceStatus['state'] {
  if (!readiness) return 'down'
  const { status, counting = { state: 'current' } } = readiness
  return status === 'ready' && counting.state === 'current' ? 'up' : 'degraded'
}
