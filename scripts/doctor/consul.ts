import { type ServiceEntry, serviceEntries } from '../../services.ts'
import { createConsulClient, type HealthEntry, toInstanceOrigin } from '../../shared/discovery/consul-client.ts'
import type { DiscoverySettings } from '../../shared/discovery/settings.ts'
import { raceAbort } from '../../shared/runtime/race-abort.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { about, type Finding } from './finding.ts'

const { ok, fail } = about('consul')

/**
 * Checks that Consul has healthy instances of each service, and returns their origins. Skipped without
 * CONSUL_HTTP_ADDR.
 */
export async function checkConsul(settings: DiscoverySettings) {
  const origins = new Map<ServiceEntry, string[]>()
  const findings: Finding[] = []
  const address = settings.CONSUL_HTTP_ADDR
  if (!address) return { findings, origins }
  const agent = address.socketPath ?? `${address.host}:${address.port}`
  const consul = createConsulClient(address, settings)
  const checking = serviceEntries.map(async (service) => {
    const entries: HealthEntry[] = await consul.health.service(service.name)
    origins.set(service, entries.map(toInstanceOrigin))
    return [...diagnoseEntries(service, entries)]
  })
  try {
    // Short, to leave time for probing the instances.
    findings.push(...(await raceAbort(Promise.all(checking), AbortSignal.timeout(700))).flat())
    if (findings.length === 0) findings.push(ok(`${agent} knows every service`))
  } catch (error) {
    findings.push(fail(`${agent} ${diagnoseError(toReason(error))}`))
  }
  consul.destroy()
  return { findings, origins }
}

function* diagnoseEntries({ name }: ServiceEntry, entries: HealthEntry[]) {
  if (entries.length === 0) {
    yield fail(`${name} is not registered: start it with this CONSUL_HTTP_ADDR and a token that allows it to register`)
  }
  for (const entry of entries.filter(({ Checks }) => Checks.some(({ Status }) => Status !== 'passing'))) {
    const remedy = 'make its /readyz reachable from the agent, or wait a minute until Consul removes it'
    yield fail(`the health check of ${name} at ${toInstanceOrigin(entry)} fails: ${remedy}`)
  }
}

function diagnoseError(reason: string): string {
  if (/no cluster leader/i.test(reason)) return 'has no leader: wait, or check the servers in its cluster'
  const isRejected = /permission denied|acl not found|forbidden/i.test(reason)
  if (isRejected) return 'rejects the token: fix CONSUL_HTTP_TOKEN (see deploy/consul-policy.hcl)'
  return `is unreachable (${reason}): start it, or fix CONSUL_HTTP_ADDR; until then, the last known instances are used`
}
