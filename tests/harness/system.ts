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
  const env = { ...common, METADATA_URL: metadata.url, CDNURL_URL: cdnurl.url, REPORTING_URL: reporting.url }
  const [listener, play] = await Promise.all([startService('queue-listener', env), startService('play', env)])
  for (const service of [listener, play]) stack.use(service)
  const all = stack.move()
  return { nats, metadata, cdnurl, reporting, listener, play, env, [Symbol.asyncDispose]: () => all.disposeAsync() }
}
