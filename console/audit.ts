import { expectBody, type ServiceClient } from '../shared/client/service-client.ts'
import { Audit } from '../shared/contracts/audit.ts'

/**
 * The timeout is short, because the page waits for `GET /status`, which first waits for a readiness check, and then for
 * the audit.
 */
const TIMEOUT_MS = 200

/**
 * Reads the audit from reporting. Returns null if the call fails, for example because reporting runs a release without
 * audits.
 */
export async function readAudit(reporting: Pick<ServiceClient, 'get'>): Promise<Audit | null> {
  try {
    return expectBody(await reporting.get('/events/audit', { signal: AbortSignal.timeout(TIMEOUT_MS) }), 200, Audit)
  } catch {
    return null
  }
}
