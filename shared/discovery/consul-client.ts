import { Agent as HttpAgent } from 'node:http'
import Consul from 'consul'
import { toOrigin } from '../runtime/origin.ts'
import type { ConsulAddress, DiscoverySettings } from './settings.ts'

/** A client of the agent at an address, with the token and the namespace of the settings. */
export function createConsulClient({ socketPath, ...address }: ConsulAddress, settings: DiscoverySettings): Consul {
  const { CONSUL_HTTP_TOKEN: token, CONSUL_HTTP_SSL: ssl, CONSUL_NAMESPACE: namespace } = settings
  return new Consul({
    ...address,
    secure: address.secure || ssl === true,
    ...(token && { defaults: { token } }),
    ...(namespace && { headers: { 'x-consul-namespace': namespace } }),
    ...(socketPath && { agent: new HttpAgent({ keepAlive: true, socketPath } as object) }),
  })
}

/** The option that limits a call's time, which the library's types leave out. */
export function limitedTo(ms: number): object {
  return { timeout: ms }
}

/** An instance as Consul answers for it (https://developer.hashicorp.com/consul/api-docs/health). */
export type HealthEntry = {
  Node: { Address: string }
  Service: { ID: string; Address: string; Port: number }
  Checks: { Status: 'passing' | 'warning' | 'critical' }[]
}

/** An instance without an address of its own is at that of its node. */
export function toInstanceOrigin({ Node, Service }: HealthEntry): string {
  return toOrigin(Service.Address || Node.Address, Service.Port)
}
