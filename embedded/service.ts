import { join } from 'node:path'
import { cdn, startCdn } from '../cdn/service.ts'
import { cdnurl } from '../cdnurl/service.ts'
import { metadata } from '../metadata/service.ts'
import { startPlay } from '../play/service.ts'
import { edgeSettings } from '../play/settings.ts'
import { startQueueListener } from '../queue-listener/service.ts'
import { reporting } from '../reporting/service.ts'
import { type ServiceEntry, services } from '../services.ts'
import { createLocalInvalidations } from '../shared/catalogue/local-invalidations.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { createSqliteEventLog } from '../shared/event-log/sqlite-event-log.ts'
import { UsageError } from '../shared/runtime/command-line.ts'
import { createLog, type Logger } from '../shared/runtime/log.ts'
import { optionalPort } from '../shared/runtime/settings.ts'
import { toSigningKeys } from '../shared/runtime/signing-keys.ts'
import { isLocked } from '../shared/runtime/sqlite.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import { createService, type Service, StartError } from '../shared/service/service.ts'
import { openTracing } from '../shared/tracing/open.ts'
import type { Tracing } from '../shared/tracing/tracing.ts'

const { FED_BY_LOG: _, DATA_DIR, ...reportingSettings } = reporting.settings
const settings = {
  DATA_DIR,
  ...edgeSettings,
  ...reportingSettings,
  CDN_PORT: optionalPort('Port of a CDN edge that serves the media in CDN_ROOT; unset: no CDN edge'),
  CDN_ROOT: cdn.settings.CDN_ROOT,
}
/**
 * Embedded mode has its own checkpoint file, so that a later run with NATS in the same DATA_DIR does not load counts
 * from a different log.
 */
const ownCheckpoint = { checkpoint: 'checkpoint-embedded' }
type EmbeddedSettings = ServiceSettings<typeof settings>

/**
 * All services in one process, with the event log in a SQLite file instead of NATS. The services still communicate over
 * HTTP. `--port` sets play's port; the other services' ports keep their default offset from it.
 */
export const embedded = {
  name: 'embedded',
  port: services.play.port,
  settings,
  async start({ log, resources, stopping, discovery }: Service, settings: EmbeddedSettings) {
    const eventLog = resources.use(openEventLog(join(settings.DATA_DIR, 'events.sqlite'), log))
    const invalidations = createLocalInvalidations()

    await openCdn(resources, settings)

    const tracings: Tracing[] = []
    // Close in parallel: if the collector is unreachable, each exporter waits until it times out.
    resources.defer(async () => {
      await Promise.all(tracings.map((tracing) => tracing[Symbol.asyncDispose]()))
    })

    async function open({ name }: ServiceEntry): Promise<Service> {
      const log = createLog({ name, level: settings.LOG_LEVEL })
      const tracing = await openTracing(settings, { name, log })
      tracings.push(tracing)
      const service = createService({ name, log, stopping, discovery, tracing })
      resources.use(service.resources)
      return service
    }
    const settingsOf = ({ port }: ServiceEntry) => ({
      ...settings,
      NATS_URL: undefined,
      FED_BY_LOG: true,
      PORT: settings.PORT && settings.PORT + port - services.play.port,
    })

    const content = await metadata.start(await open(services.metadata), settingsOf(services.metadata), invalidations)
    const urls = await cdnurl.start(await open(services.cdnurl), settingsOf(services.cdnurl), invalidations)
    const counts = await reporting.start(await open(services.reporting), settingsOf(services.reporting), ownCheckpoint)
    const upstreams = { METADATA_URL: [content.url], CDNURL_URL: [urls.url], REPORTING_URL: [counts.url] }
    const entry = services['queue-listener']
    const listener = await startQueueListener(await open(entry), { ...settingsOf(entry), ...upstreams }, { eventLog })
    return startPlay(
      await open(services.play),
      { ...settingsOf(services.play), ...upstreams, QUEUE_LISTENER_URL: [listener.url] },
      { eventLog, invalidations, historyFile: join(settings.DATA_DIR, 'history-embedded.sqlite') },
    )
  },
}

/** @throws StartError if another process has the log open */
function openEventLog(file: string, log: Logger): EventLog {
  try {
    return createSqliteEventLog({ file, log })
  } catch (error) {
    if (!isLocked(error)) throw error
    throw new StartError(`another process has locked ${file}: each embedded system needs its own DATA_DIR`)
  }
}

/** Serves the clips on a machine without nginx. */
async function openCdn(resources: Service['resources'], settings: EmbeddedSettings) {
  const { CDN_PORT: port, CDN_KEYS, CDN_ROOT: root, HOST: host } = settings
  if (port === undefined) return
  if (!CDN_KEYS) throw new UsageError('CDN_PORT needs CDN_KEYS')
  const edgeLog = createLog({ name: cdn.name, level: settings.LOG_LEVEL })
  resources.use(await startCdn({ host, port, keys: toSigningKeys(CDN_KEYS), root, log: edgeLog }))
}
