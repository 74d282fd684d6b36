import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type NatsOptions, type NatsServer, startNatsServer } from './nats-server.ts'
import { type ServiceProcess, startService } from './service-process.ts'

export type System = AsyncDisposable & {
  nats: NatsServer
  metadata: ServiceProcess
  cdnurl: ServiceProcess
  reporting: ServiceProcess
  listener: ServiceProcess
  play: ServiceProcess
  /** What it takes to start one more service, or another play. */
  env: Record<string, string>
}

/** All five services as processes, against a real NATS server. */
export async function startSystem(settings: Record<string, string> = {}, natsOptions?: NatsOptions): Promise<System> {
  await using stack = new AsyncDisposableStack()
  const nats = stack.use(await startNatsServer(natsOptions))
  const folder = await mkdtemp(join(tmpdir(), 'system-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const common = { NATS_URL: nats.url, DATA_DIR: folder, ...settings }
  const [metadata, cdnurl, reporting] = await Promise.all([
    startService('metadata', common),
    startService('cdnurl', common),
    startService('reporting', common),
  ])
  for (const service of [metadata, cdnurl, reporting]) stack.use(service)
  const addresses = { METADATA_URL: metadata.url, CDNURL_URL: cdnurl.url, REPORTING_URL: reporting.url }
  const listener = stack.use(await startService('queue-listener', { ...common, ...addresses }))
  const env = { ...common, ...addresses, QUEUE_LISTENER_URL: listener.url }
  const play = stack.use(await startService('play', env))
  const all = stack.move()
  return { nats, metadata, cdnurl, reporting, listener, play, env, [Symbol.asyncDispose]: () => all.disposeAsync() }
}
