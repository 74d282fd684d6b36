import { Agent as HttpAgent } from 'node:http'
import Consul from 'consul'
import { toOrigin } from '../runtime/origin.ts'
import type { ConsulAddress, DiscoverySettings } from './settings.ts'

/** A client for the agent at `address`, with the token and the namespace from the settings. */
export function createConsulClient({ socketPath, ...address }: ConsulAddress, settings: DiscoverySettings): Consul {
  const { CONSUL_HTTP_TOKEN: token, CONSUL_HTTP_SSL: ssl, CONSUL_NAMESPACE: namespace } = settings
  return new Consul({
    ...address,
    secure: address.secure || ssl === true,
    ...(token && { defaults: { token: token.reveal() } }),
    ...(namespace && { headers: { 'x-consul-namespace': namespace } }),
    ...(socketPath && { agent: new HttpAgent({ keepAlive: true, socketPath } as object) }),
  })
}

/** Returns the timeout option, which is missing from the library's types. */
export function withTimeout(ms: number): object {
  return { timeout: ms }
}

/** An instance in Consul's health API (https://developer.hashicorp.com/consul/api-docs/health). */
export type HealthEntry = {
  Node: { Address: string }
  Service: { ID: string; Address: string; Port: number }
  Checks: { Status: 'passing' | 'warning' | 'critical' }[]
}

/** An instance without its own address uses its node's address. */
export function toInstanceOrigin({ Node, Service }: HealthEntry): string {
  return toOrigin(Service.Address || Node.Address, Service.Port)
}
