import { join } from 'node:path'
import { createNatsChanges } from '../shared/changes/nats-changes.ts'
import { createJetStreamEventLog } from '../shared/event-log/jetstream-event-log.ts'
import { guard } from '../shared/http/circuit-breaker.ts'
import { measure } from '../shared/http/measured-client.ts'
import { createServiceClient } from '../shared/http/service-client.ts'
import { warnWithoutToken } from '../shared/http/write-guard.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { choosePort } from '../shared/runtime/listen.ts'
import { serve } from '../shared/runtime/serve.ts'
import { runService, stopped } from '../shared/runtime/service.ts'
import { createApp } from './app.ts'
import { createCatalogue } from './console/catalogue.ts'
import { createConsole } from './console/console.ts'
import { createStatus } from './console/status.ts'
import { createLiveRelay } from './live-relay.ts'
import { createPlayMetrics, showOutbox } from './metrics.ts'
import { createOutbox } from './outbox.ts'
import { createRecorder } from './recorder.ts'
import { playSettings } from './settings.ts'
import { createSources } from './sources.ts'
import { createSpooler } from './spooler.ts'

await runService(
  { name: 'play', port: 8080, settings: playSettings, script: import.meta.filename },
  async (service, settings) => {
    const { discovery, health, log } = service
    const without = settings.BENCH_WITHOUT
    warnWithoutToken(settings, log)
    const upstream = (name: string, configured: string[]) =>
      measure(
        guard(createServiceClient({ name, instances: discovery.instancesOf(name, configured) }), service),
        service,
      )
    await using nats = openNatsLink({ servers: settings.NATS_URL, ...service })
    await using metadata = upstream('metadata', settings.METADATA_URL)
    await using cdnurl = upstream('cdnurl', settings.CDNURL_URL)
    await using reporting = upstream('reporting', settings.REPORTING_URL)
    await using eventLog = createJetStreamEventLog({ nats, log, maxAgeMs: settings.EVENTS_MAX_AGE })
    const port = await choosePort(settings.PORT, settings.HOST)
    using outbox = createOutbox(join(settings.DATA_DIR, `outbox-${port}.sqlite`))
    await using spooler = createSpooler({ eventLog, outbox, log })
    health.watch('nats', { state: nats.state, required: () => outbox.state() !== 'up' })
    health.watch('outbox', { state: outbox.state, required: false })
    for (const client of [metadata, cdnurl, reporting]) {
      health.watch(client.name, { state: client.state, circuit: client.circuit, required: false })
    }

    const metrics = createPlayMetrics(service.metrics)
    showOutbox(service.metrics, outbox)
    const changes = createNatsChanges(nats)
    const ttlMs = settings.CATALOGUE_TTL
    const sources = createSources({ metadata, cdnurl, reporting, changes, ttlMs, log, metrics, without })
    const append = metrics.measureAppend(spooler.append)
    const record = createRecorder({ append }, without.has('group-commit') ? 1 : undefined)
    const live = createLiveFeed({ ...service, source: createLiveRelay({ reporting, log }) })
    const listenerInstances = discovery.instancesOf('queue-listener', settings.QUEUE_LISTENER_URL)
    await using listener = createServiceClient({ name: 'queue-listener', instances: listenerInstances })
    const console = createConsole({
      catalogue: createCatalogue({ metadata, reporting, log }),
      status: createStatus({ health, listener, changes, waiting: outbox.size }),
    })
    const corsOrigins = settings.CORS_ORIGINS
    const app = createApp({ ...service, sources, record, live, console, corsOrigins, onDegraded: metrics.degraded })
    await using _ = await serve(app, service, { port, host: settings.HOST })
    spooler.start()
    await stopped(service)
  },
)
