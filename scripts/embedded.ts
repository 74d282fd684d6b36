import { join } from 'node:path'
import { createApp as createCdnurl } from '../cdnurl/app.ts'
import { seed as cdnurlSeed } from '../cdnurl/seed.ts'
import { createApp as createMetadata } from '../metadata/app.ts'
import { seed as metadataSeed } from '../metadata/seed.ts'
import { createApp as createPlay } from '../play/app.ts'
import { createCatalogue } from '../play/console/catalogue.ts'
import { createConsole } from '../play/console/console.ts'
import { createStatus } from '../play/console/status.ts'
import { createLiveRelay } from '../play/live-relay.ts'
import { createPlayMetrics } from '../play/metrics.ts'
import { createRecorder } from '../play/recorder.ts'
import { createSources } from '../play/sources.ts'
import { forward } from '../queue-listener/forward.ts'
import { createProgress } from '../queue-listener/progress.ts'
import { createReporting as createReportingClient } from '../queue-listener/reporting.ts'
import { createApp as createReporting } from '../reporting/app.ts'
import { createLiveCounts } from '../reporting/live-counts.ts'
import { measureCounts } from '../reporting/metrics.ts'
import { createViewCounts } from '../reporting/view-counts.ts'
import { createLocalChanges } from '../shared/changes/local-changes.ts'
import { fixed } from '../shared/discovery/static.ts'
import { createSqliteEventLog } from '../shared/event-log/sqlite-event-log.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { measure } from '../shared/http/measured-client.ts'
import { createServiceClient } from '../shared/http/service-client.ts'
import { checkOpenWrites, writeSettings } from '../shared/http/write-guard.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { serve } from '../shared/runtime/serve.ts'
import { createService, runService, stopped } from '../shared/runtime/service.ts'
import { catalogueTtl, corsOrigins, dataDir } from '../shared/runtime/settings.ts'
import { createMapStore } from '../shared/stores/map-store.ts'
import { openTracing } from '../shared/tracing/open.ts'
import type { Tracing } from '../shared/tracing/tracing.ts'

/**
 * The five services in one process, with the event log in a SQLite file instead of NATS. They still talk HTTP to each
 * other. `--port` is the edge's; the others follow it, as 8081 to 8084 follow 8080.
 */
await runService(
  {
    name: 'embedded',
    port: 8080,
    settings: { DATA_DIR: dataDir, CATALOGUE_TTL: catalogueTtl, CORS_ORIGINS: corsOrigins, ...writeSettings },
    script: import.meta.filename,
  },
  async ({ stopping, log, discovery }, settings) => {
    const { PORT, HOST, LOG_LEVEL, DATA_DIR, CATALOGUE_TTL, WRITE_TOKEN: writeToken } = settings
    checkOpenWrites(settings, log)
    const traces: Tracing[] = []
    // At once: each may take its time where nobody receives.
    await using _traces = { [Symbol.asyncDispose]: () => closeAll(traces) }
    const service = async (name: string) => {
      const tracing = await openTracing(settings, { name, log })
      traces.push(tracing)
      return createService({ name, level: LOG_LEVEL, stopping, discovery, tracing })
    }
    const at = (offset: number) => ({ port: PORT && PORT + offset, host: HOST })
    const client = (name: string, { url }: { url: string }) =>
      createServiceClient({ name, instances: fixed([url]), token: writeToken })
    const changes = createLocalChanges()
    await using eventLog = createSqliteEventLog({ file: join(DATA_DIR, 'events.sqlite'), log })

    const metadata = await service('metadata')
    const metadataApp = createMetadata({ ...metadata, store: createMapStore(metadataSeed), changes, writeToken })
    await using metadataServer = await serve(metadataApp, metadata, at(1))

    const cdnurl = await service('cdnurl')
    const cdnurlApp = createCdnurl({ ...cdnurl, store: createMapStore(cdnurlSeed), changes, writeToken })
    await using cdnurlServer = await serve(cdnurlApp, cdnurl, at(3))

    const reporting = await service('reporting')
    const counts = createLiveCounts(measureCounts(reporting.metrics, createViewCounts()))
    const live = createLiveFeed({ ...reporting, source: counts.follow })
    const reportingApp = createReporting({ ...reporting, counts, live, writeToken })
    await using reportingServer = await serve(reportingApp, reporting, at(2))

    const play = await service('play')
    await using metadataClient = measure(client('metadata', metadataServer), play)
    await using cdnurlClient = measure(client('cdnurl', cdnurlServer), play)
    await using reportingClient = measure(client('reporting', reportingServer), play)

    const listener = await service('queue-listener')
    await using countingClient = measure(client('reporting', reportingServer), listener)
    listener.health.watch('reporting', { state: countingClient.state, required: true })
    await using listenerServer = await serve(createBaseApp(listener), listener, at(4))
    await using listenerClient = client('queue-listener', listenerServer)
    const counting = createReportingClient(countingClient, listener.tracing)
    const onForwarded = createProgress({ metrics: listener.metrics, eventLog, reporting: counting })
    const forwarding = forward({ eventLog, reporting: counting, log: listener.log, onForwarded }, stopping)

    play.health.watch('events', { state: eventLog.state, required: true })
    for (const client of [metadataClient, cdnurlClient, reportingClient]) {
      play.health.watch(client.name, { state: client.state, required: false })
    }
    const metrics = createPlayMetrics(play.metrics)
    const sources = createSources({
      metadata: metadataClient,
      cdnurl: cdnurlClient,
      reporting: reportingClient,
      changes,
      ttlMs: CATALOGUE_TTL,
      log: play.log,
      metrics,
    })
    const producer = eventLog.producer()
    const append = metrics.measureAppend(async (views, signal) => {
      await producer.append(views, signal)
      return 'log'
    })
    const record = createRecorder({ append })
    const relayed = createLiveFeed({ ...play, source: createLiveRelay({ reporting: reportingClient, log: play.log }) })
    const console = createConsole({
      catalogue: createCatalogue({ metadata: metadataClient, reporting: reportingClient, log: play.log }),
      status: createStatus({ health: play.health, listener: listenerClient, changes }),
    })
    const playApp = createPlay({
      ...play,
      sources,
      record,
      live: relayed,
      console,
      corsOrigins: settings.CORS_ORIGINS,
      onDegraded: metrics.degraded,
    })
    await using _play = await serve(playApp, play, at(0))

    await stopped({ stopping })
    await forwarding
  },
)

async function closeAll(all: AsyncDisposable[]): Promise<void> {
  await Promise.all(all.map((one) => one[Symbol.asyncDispose]()))
}
