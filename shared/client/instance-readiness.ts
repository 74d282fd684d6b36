import { READINESS } from '../contracts/probes.ts'
import { Readiness } from '../contracts/readiness.ts'
import type { Instance } from './balancer.ts'
import { requestJson } from './request-json.ts'

/** Longer than the timeout for other calls, because an instance checks its own dependencies first. */
const READINESS_TIMEOUT_MS = 600

/** One instance's readiness; undefined if the instance did not respond. */
export type InstanceReadiness = { url: string; readiness: Readiness | undefined }

/** Calls one instance's `/readyz`, without retries. Never throws. */
export async function readReadiness({ origin, pool }: Instance): Promise<InstanceReadiness> {
  const signal = AbortSignal.timeout(READINESS_TIMEOUT_MS)
  try {
    const { body } = await requestJson(pool, { method: 'GET', path: READINESS, signal })
    return { url: origin, readiness: Readiness.parse(body) }
  } catch {
    return { url: origin, readiness: undefined }
  }
}
