import { services, urlsOf } from '../services.ts'
import { instrumentClient } from '../shared/client/instrument-client.ts'
import { createServiceClient } from '../shared/client/service-client.ts'
import { upstreamCa } from '../shared/client/settings.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { createJetStreamEventLog } from '../shared/event-log/jetstream-event-log.ts'
import { eventsMaxAge } from '../shared/event-log/settings.ts'
import { checkWriteToken, privateToken, writeSettings } from '../shared/http/write-token.ts'
import { toNatsAccess } from '../shared/nats/credentials.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { eventsReplicas, natsSettings } from '../shared/nats/settings.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import { serve } from '../shared/service/serve.ts'
import type { Service } from '../shared/service/service.ts'
import { createQueueListenerApp } from './app.ts'
import { createDeliveries } from './deliveries.ts'
import { forward } from './forward.ts'
import { createProgress } from './progress.ts'
import { exposeReplicas } from './replica-metrics.ts'
import { createReportingClient } from './reporting-client.ts'
import { watchForStall } from './stall.ts'
import { createStoreCheck } from './store-check.ts'
import { createSuspension } from './suspension.ts'

const COLD_START_MS = 5_000

const ownSettings = { ...writeSettings, REPORTING_URL: urlsOf(services.reporting), UPSTREAM_CA: upstreamCa }
const processSettings = {
  ...ownSettings,
  ...natsSettings,
  EVENTS_MAX_AGE: eventsMaxAge,
  EVENTS_REPLICAS: eventsReplicas,
}

/** Starts forwarding a log to reporting. */
export async function startQueueListener(
  service: Service,
  settings: ServiceSettings<typeof ownSettings>,
  { eventLog }: { eventLog: EventLog },
) {
  const { discovery, health, log, metrics, resources, stopping, tracing } = service
  const { REPORTING_URL, UPSTREAM_CA: ca, WRITE_TOKEN } = settings
  checkWriteToken(settings, log)
  const { name } = services.reporting
  const knownInstances = discovery.instancesOf(name, REPORTING_URL)
  const client = resources.use(createServiceClient({ name, instances: knownInstances, ca }))
  const stores = createStoreCheck({ knownInstances, client })
  const countingClient = resources.use(
    createServiceClient({ name, instances: stores.instances, token: WRITE_TOKEN?.sent, ca }),
  )
  const { name: logName, state, reason, problem } = eventLog
  health.watch(logName, { state, reason, problem, required: true })
  health.watch(name, { state: client.state, reason: client.reason, required: true })
  exposeReplicas(metrics, eventLog)
  const { deadLetters } = eventLog
  const app = createQueueListenerApp({ ...service, deadLetters, writeToken: privateToken(settings) })
  const address = await serve(app, service, settings)

  const deliveries = createDeliveries()
  const caller = createReportingClient(instrumentClient(countingClient, metrics), tracing)
  const reporting = { ...caller, count: deliveries.observe(caller.count) }
  const suspension = createSuspension({ log, metrics })
  const onForwarded = createProgress({ metrics, eventLog, reporting })
  const shutdown = new AbortController()
  const signal = AbortSignal.any([stopping, shutdown.signal])
  const counting = { eventLog, reporting, suspension, log }
  const forwarding = forward({ ...counting, stores, onForwarded, coldStartMs: COLD_START_MS }, signal)
  const watching = watchForStall({ ...counting, deliveries, metrics, health }, signal)
  resources.defer(async () => {
    // Nothing aborts `stopping` if this service is disposed because another service in this process failed to start.
    shutdown.abort()
    await Promise.all([forwarding, watching])
  })
  return address
}

export const queueListener = {
  ...services['queue-listener'],
  settings: processSettings,
  async start(service: Service, settings: ServiceSettings<typeof processSettings>) {
    const { log, resources } = service
    const { EVENTS_MAX_AGE: maxAgeMs, EVENTS_REPLICAS: replicas } = settings
    const nats = resources.use(openNatsLink({ ...toNatsAccess(settings), ...service }))
    const eventLog = resources.use(createJetStreamEventLog({ nats, log, maxAgeMs, replicas, isOwner: true }))
    return startQueueListener(service, settings, { eventLog })
  },
}
