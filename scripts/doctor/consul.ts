import { type ServiceEntry, serviceEntries } from '../../services.ts'
import { createConsulClient, type HealthEntry, toInstanceOrigin } from '../../shared/discovery/consul-client.ts'
import type { DiscoverySettings } from '../../shared/discovery/settings.ts'
import { raceAbort } from '../../shared/runtime/race-abort.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { type Finding, findingsAbout } from './finding.ts'

const { ok, warn, fail } = findingsAbout('consul')

/** The finding if the services use Consul, but the doctor does not. */
export const addressUnset = warn('the services use Consul: set CONSUL_HTTP_ADDR here too, so that it is checked')

/** Checks that Consul has healthy instances of each service, and fills `origins`. Skipped without CONSUL_HTTP_ADDR. */
export async function checkConsul(settings: DiscoverySettings, origins: Map<ServiceEntry, string[]>) {
  const address = settings.CONSUL_HTTP_ADDR
  if (!address) return []
  const agent = address.socketPath ?? `${address.host}:${address.port}`
  const consul = createConsulClient(address, settings)
  const checking = serviceEntries.map(async (service) => {
    const entries: HealthEntry[] = await consul.health.service(service.name)
    if (entries.length > 0) origins.set(service, entries.map(toInstanceOrigin))
    return diagnoseEntries(service, entries)
  })
  try {
    // A short timeout leaves time to probe the instances.
    const findings = (await raceAbort(Promise.all(checking), AbortSignal.timeout(700))).flat()
    return findings.length > 0 ? findings : [ok(`${agent} has healthy instances of every service`)]
  } catch (error) {
    return [fail(`${agent} ${diagnoseError(toReason(error))}`)]
  } finally {
    consul.destroy()
  }
}

function diagnoseEntries({ name }: ServiceEntry, entries: HealthEntry[]): Finding[] {
  const start = 'start it with this CONSUL_HTTP_ADDR and a token that allows registration'
  if (entries.length === 0) return [fail(`${name} is not registered: ${start}`)]
  const repair = 'make its /readyz reachable from the agent, or wait a minute until Consul removes it'
  return entries
    .filter(({ Checks }) => Checks.some(({ Status }) => Status !== 'passing'))
    .map((entry) => fail(`the health check for ${name} at ${toInstanceOrigin(entry)} fails: ${repair}`))
}

function diagnoseError(reason: string): string {
  if (/no cluster leader/i.test(reason)) return 'has no leader: wait, or check the servers in its cluster'
  const isRejected = /permission denied|acl not found|forbidden/i.test(reason)
  if (isRejected) return 'rejects the token: fix CONSUL_HTTP_TOKEN (see deploy/consul-policy.hcl)'
  return `is unreachable (${reason}): start it, or fix CONSUL_HTTP_ADDR; until then, the last known instances are used`
}
