import type { Logger } from '../runtime/log.ts'
import type { Discovery } from './discovery.ts'
import type { DiscoverySettings } from './settings.ts'
import { createStaticDiscovery } from './static.ts'

/**
 * Uses Consul if an agent is configured, otherwise the instances in the settings. Loads the Consul client only if
 * needed.
 */
export async function openDiscovery(settings: DiscoverySettings, log: Logger): Promise<Discovery> {
  const address = settings.CONSUL_HTTP_ADDR
  if (!address) return createStaticDiscovery()
  const { createConsulDiscovery } = await import('./consul.ts')
  return createConsulDiscovery({ address, settings, log })
}
