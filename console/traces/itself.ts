import type { InstanceResponse } from '../../shared/client/instance-response.ts'

/**
 * Returns true for the only play that a play knows, if it does not show its traces there: that is the public port of the
 * process that asks, whose own traces are known anyway.
 */
export function isItself(responses: readonly InstanceResponse[]): boolean {
  const [first, ...others] = responses
  return others.length === 0 && (first?.response?.status === 404 || first?.response?.status === 401)
}
