import type { Logger } from '../runtime/log.ts'
import { createConsulDiscovery } from './consul.ts'
import type { Discovery } from './discovery.ts'
import type { DiscoverySettings } from './settings.ts'
import { createStaticDiscovery } from './static.ts'

/** Discovery as configured: through Consul if an agent is set, otherwise static. */
export function openDiscovery(settings: DiscoverySettings, log: Logger): Discovery {
  const address = settings.CONSUL_HTTP_ADDR
  return address ? createConsulDiscovery({ address, settings, log }) : createStaticDiscovery()
}
