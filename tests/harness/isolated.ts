import { mapServices } from './each-service.ts'
import type { Services } from './embedded.ts'
import { freePort, freePortRange, urlSettingsNextTo } from './ports.ts'
import { withResources } from './resources.ts'
import { startService } from './service-process.ts'

/** Starts all services as processes without their dependencies: they have no upstreams, no NATS and no usable disk. */
export async function startIsolated(): Promise<Services> {
  await using stack = new AsyncDisposableStack()
  const env = {
    ...urlSettingsNextTo(await freePortRange()),
    NATS_URL: `127.0.0.1:${await freePort()}`,
    DATA_DIR: '/dev/null/none',
  }
  const services = await mapServices(async (name) => stack.use(await startService(name, env)))
  return withResources(services, stack)
}
