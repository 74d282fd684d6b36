import type { InstanceResponse } from '../../shared/client/instance-response.ts'

/**
 * Returns true if the only known instance of play refuses to return its traces. That instance is then this process,
 * which has called its own public port. The refusal does not matter, because the process reads its own traces directly.
 */
export function isItself(responses: readonly InstanceResponse[]): boolean {
  const [first, ...others] = responses
  return others.length === 0 && (first?.response?.status === 404 || first?.response?.status === 401)
}
