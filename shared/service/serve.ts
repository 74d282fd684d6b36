import type { Networks } from '../runtime/ip-address.ts'
import { canServe } from './health.ts'
import { createHostCheck, type HostSettings } from './hosts.ts'
import { type Address, type App, listen } from './listen.ts'
import type { Service } from './service.ts'

type Settings = HostSettings & {
  PORT: number
  CLIENT_CONNECTIONS?: number | undefined
  TRUSTED_PROXIES?: Networks | undefined
  REUSE_PORT?: boolean | undefined
}

/**
 * Serves `app` and registers the service. On shutdown, the service deregisters before it stops listening.
 * @throws ListenError
 */
export async function serve(app: App, service: Service, settings: Settings): Promise<Address> {
  const { name, log, health, discovery, resources } = service
  const { PORT, HOST: host, CLIENT_CONNECTIONS: clientConnections, REUSE_PORT: reusePort } = settings
  const { TRUSTED_PROXIES: trustedProxies } = settings
  const isAllowedHost = createHostCheck(settings)
  const at = { host, port: PORT, log, clientConnections, trustedProxies, reusePort, isAllowedHost }
  const { port, url } = resources.use(await listen(app, at))
  const isReady = async () => canServe(await health.readiness())
  resources.use(discovery.register({ name, host, port, isReady }))
  return { port, url }
}
