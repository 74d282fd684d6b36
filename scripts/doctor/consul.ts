import {
  createConsulClient,
  type HealthEntry,
  limitedTo,
  toInstanceOrigin,
} from '../../shared/discovery/consul-client.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { raceAbort } from '../../shared/runtime/race-abort.ts'
import { fail, type Line, ok } from './line.ts'
import { type Instance, SERVICE_NAMES, type ServiceName } from './services.ts'
import type { DoctorSettings } from './settings.ts'

/** Short, because what it knows of is asked after it. */
const LIMIT_MS = 700

type Registered = { name: ServiceName; entries: HealthEntry[] }

/** Whether each service is found by Consul, and where: what it knows of may be anywhere. Nothing where it is not used. */
export async function examineConsul(settings: DoctorSettings): Promise<{ lines: Line[]; instances: Instance[] }> {
  const address = settings.CONSUL_HTTP_ADDR
  if (!address) return { lines: [], instances: [] }
  const place = address.socketPath ?? `${address.host}:${address.port}`
  try {
    const { leader, registered } = await lookAtConsul(address, settings)
    const instances = registered.flatMap(({ name, entries }) =>
      entries.map((entry) => ({ name, origin: toInstanceOrigin(entry) })),
    )
    return { lines: judgeConsul(place, leader, registered), instances }
  } catch (error) {
    return { lines: [judgeFailure(place, error)], instances: [] }
  }
}

async function lookAtConsul(address: NonNullable<DoctorSettings['CONSUL_HTTP_ADDR']>, settings: DoctorSettings) {
  const consul = createConsulClient(address, settings)
  const limited = limitedTo(LIMIT_MS)
  const look = Promise.all([
    consul.status.leader(limited),
    ...SERVICE_NAMES.map(async (name) => ({
      name,
      entries: await consul.health.service({ service: name, ...limited }),
    })),
  ])
  try {
    const [leader, ...registered] = await raceAbort(look, AbortSignal.timeout(LIMIT_MS))
    return { leader, registered: registered as Registered[] }
  } finally {
    consul.destroy()
  }
}

function judgeConsul(place: string, leader: string, registered: Registered[]): Line[] {
  if (!leader) return [fail('consul', `${place} has no leader: wait, or see to the servers of its cluster`)]
  const missing = registered.filter(({ entries }) => entries.length === 0).map(({ name }) => name)
  const lines = missing.map((name) =>
    fail('consul', `${name} is not registered: start it with this CONSUL_HTTP_ADDR, and a token that may register it`),
  )
  for (const { name, entries } of registered) {
    const failing = entries.filter(({ Checks }) => Checks.some(({ Status }) => Status !== 'passing'))
    for (const entry of failing) {
      const text = `${name} at ${toInstanceOrigin(entry)} is registered, and its check fails`
      lines.push(
        fail('consul', `${text}: the agent must reach its /readyz there; who is gone is forgotten in a minute`),
      )
    }
  }
  return lines.length > 0 ? lines : [ok('consul', `${place} has a leader, and finds every service`)]
}

function judgeFailure(place: string, error: unknown): Line {
  if (/permission denied|acl not found|forbidden/i.test(toReason(error))) {
    return fail('consul', `${place} refuses the token: correct CONSUL_HTTP_TOKEN (deploy/consul-policy.hcl is enough)`)
  }
  const text = `${place} does not answer (${toReason(error)}): start the agent, or correct CONSUL_HTTP_ADDR`
  return fail('consul', `${text}; the last instances known are used meanwhile`)
}
