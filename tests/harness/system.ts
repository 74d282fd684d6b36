import type { ServiceName } from '../../services.ts'
import { expectCurrent } from './counting.ts'
import { mapServices } from './each-service.ts'
import { type NatsOptions, type NatsServer, startNatsServer } from './nats-server.ts'
import { freePortRange, portNextTo, urlSettingsNextTo } from './ports.ts'
import { withResources } from './resources.ts'
import { type ServiceProcess, startService } from './service-process.ts'
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts'
import { createTempDirectory } from './temp-directory.ts'

export type System = AsyncDisposable &
  Record<ServiceName, ServiceProcess> & {
    nats: NatsServer
    /** The TCP proxies in front of NATS and reporting, if they were requested. */
    proxies: TcpProxy[]
    /** An alias for `queue-listener`. */
    listener: ServiceProcess
    /** The settings for additional instances. Each instance gets its own DATA_DIR unless a test sets one. */
    env: Record<string, string>
    /** The system's DATA_DIR. */
    dataDir: string
  }

/** With these settings, a restart of reporting replays the whole log. */
export const WITHOUT_CHECKPOINT = { CHECKPOINT_EVERY: '0s' }

type Options = NatsOptions & {
  /** If set, TCP proxies in front of NATS and reporting delay all data by `delayMs`. */
  proxied?: { delayMs?: number }
  /** The URLs of further instances of reporting. */
  moreReportings?: string[]
}

/** Starts all services as processes, with a real NATS server, and waits until the counts are current. */
export async function startSystem(settings: Record<string, string> = {}, options: Options = {}): Promise<System> {
  await using stack = new AsyncDisposableStack()
  const directory = stack.use(await createTempDirectory('system'))
  const nats = stack.use(await startNatsServer(options))
  const edgePort = await freePortRange()
  const urls: Record<string, string> = { NATS_URL: nats.url, ...urlSettingsNextTo(edgePort) }
  const proxies: TcpProxy[] = []
  for (const name of options.proxied ? ['NATS_URL', 'REPORTING_URL'] : []) {
    const proxy = stack.use(await startTcpProxy(urls[name] ?? '', options.proxied?.delayMs))
    urls[name] = proxy.url
    proxies.push(proxy)
  }
  urls.REPORTING_URL = [urls.REPORTING_URL, ...(options.moreReportings ?? [])].join()
  const env = { ...urls, ...settings }
  const dataDir = settings.DATA_DIR ?? directory.path
  const services = await mapServices(async (name) =>
    stack.use(await startService(name, { ...env, DATA_DIR: dataDir }, portNextTo(edgePort, name))),
  )
  await expectCurrent(services.reporting.url)
  return withResources({ nats, proxies, listener: services['queue-listener'], env, dataDir, ...services }, stack)
}
