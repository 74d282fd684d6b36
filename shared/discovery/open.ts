import type { Health } from '../runtime/health.ts'
import type { Logger } from '../runtime/log.ts'
import { createConsulDiscovery } from './consul.ts'
import type { Discovery } from './discovery.ts'
import type { DiscoverySettings } from './settings.ts'
import { createStaticDiscovery } from './static.ts'

/** Discovery as the settings ask for it: by Consul where there is an agent, else what they say themselves. */
export function openDiscovery(
  settings: DiscoverySettings,
  { health, log }: { health: Health; log: Logger },
): Discovery {
  const address = settings.CONSUL_HTTP_ADDR
  if (!address) return createStaticDiscovery()
  const discovery = createConsulDiscovery({ address, settings, log })
  health.watch('consul', { state: discovery.state, required: false })
  return discovery
}
