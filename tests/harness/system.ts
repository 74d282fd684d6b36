import type { ServiceName } from '../../services.ts'
import { expectCurrent } from './counting.ts'
import { mapServices } from './each-service.ts'
import { type NatsOptions, type NatsServer, startNatsServer } from './nats-server.ts'
import { freePortRange, portNextTo, urlSettingsNextTo } from './ports.ts'
import { withResources } from './resources.ts'
import { type ServiceProcess, startService } from './service-process.ts'
import { createTempDirectory } from './temp-directory.ts'

export type System = AsyncDisposable &
  Record<ServiceName, ServiceProcess> & {
    nats: NatsServer
    /** An alias for `queue-listener`. */
    listener: ServiceProcess
    /** The settings for additional instances. */
    env: Record<string, string>
  }

/** Starts all services as processes, with a real NATS server, and waits until the counts are current. */
export async function startSystem(settings: Record<string, string> = {}, natsOptions?: NatsOptions): Promise<System> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('system'))
  const nats = stack.use(await startNatsServer(natsOptions))
  const edgePort = await freePortRange()
  const env = { NATS_URL: nats.url, DATA_DIR: directory.path, ...urlSettingsNextTo(edgePort), ...settings }
  const services = await mapServices(async (name) =>
    stack.use(await startService(name, env, portNextTo(edgePort, name))),
  )
  await expectCurrent(services.reporting.url)
  return withResources({ nats, listener: services['queue-listener'], env, ...services }, stack)
}
