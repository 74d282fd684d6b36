import type { ServiceName } from '../../services.ts'
import { toOrigin } from '../../shared/runtime/origin.ts'
import { expectCurrent } from './counting.ts'
import { mapServices } from './each-service.ts'
import { eventually } from './eventually.ts'
import { freePortRange, portNextTo } from './ports.ts'
import { withResources } from './resources.ts'
import { type ServiceProcess, startService } from './service-process.ts'
import { createTempDirectory } from './temp-directory.ts'

/** The address of each service, whether or not it runs in its own process. */
export type Services = AsyncDisposable & Record<ServiceName, Pick<ServiceProcess, 'url'>>

/**
 * Starts all services in one process.
 * @param prepare called with DATA_DIR before the process starts
 */
export async function startEmbedded(
  settings: Record<string, string> = {},
  prepare: (dataDir: string) => Promise<void> = async () => {},
): Promise<Services & { process: ServiceProcess }> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('embedded'))
  await prepare(directory.path)
  const edgePort = await freePortRange()
  const process = stack.use(await startService('embedded', { DATA_DIR: directory.path, ...settings }, edgePort))
  const services = await mapServices((name) => ({ url: toOrigin('127.0.0.1', portNextTo(edgePort, name)) }))
  // play is the last service to start listening.
  await eventually(() => fetch(`${services.play.url}/healthz`))
  await expectCurrent(services.reporting.url)
  return withResources({ process, ...services }, stack)
}
