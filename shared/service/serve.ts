import type { Networks } from '../runtime/ip-address.ts'
import { canServe } from './health.ts'
import { type Address, type App, listen } from './listen.ts'
import type { Service } from './service.ts'

type Settings = {
  PORT: number
  HOST: string
  CLIENT_CONNECTIONS?: number | undefined
  TRUSTED_PROXIES?: Networks | undefined
  REUSE_PORT?: boolean | undefined
}

/**
 * Serves `app` and registers the service. On shutdown, the service deregisters before it stops listening.
 * @throws ListenError
 */
export async function serve(
  app: App,
  service: Service,
  {
    PORT,
    HOST,
    CLIENT_CONNECTIONS: clientConnections,
    TRUSTED_PROXIES: trustedProxies,
    REUSE_PORT: reusePort,
  }: Settings,
): Promise<Address> {
  const { name, log, health, discovery, resources } = service
  const at = { host: HOST, port: PORT, log, clientConnections, trustedProxies, reusePort }
  const { port, url } = resources.use(await listen(app, at))
  const isReady = async () => canServe(await health.readiness())
  resources.use(discovery.register({ name, host: HOST, port, isReady }))
  return { port, url }
}
