import { join } from 'node:path'
import { createLocalTraceRoutes } from '../console/traces/routes.ts'
import { createTraces } from '../console/traces/traces.ts'
import { services } from '../services.ts'
import type { Invalidations } from '../shared/catalogue/invalidations.ts'
import { createNatsInvalidations } from '../shared/catalogue/nats-invalidations.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { createJetStreamEventLog } from '../shared/event-log/jetstream-event-log.ts'
import { isFromProxy } from '../shared/http/client-address.ts'
import { checkWriteToken } from '../shared/http/write-token.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { toNatsAccess } from '../shared/nats/credentials.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { cacheFor } from '../shared/runtime/cache-for.ts'
import { UsageError } from '../shared/runtime/command-line.ts'
import { choosePort } from '../shared/service/listen.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import { serve } from '../shared/service/serve.ts'
import type { Service } from '../shared/service/service.ts'
import { createAggregator } from './aggregate.ts'
import { createApp } from './app.ts'
import { createAssetCache } from './asset-cache.ts'
import { createCountLookup } from './count-lookup.ts'
import { openIdentity } from './identity/open.ts'
import { createKeyedPlayer } from './keyed-player.ts'
import { createAdmission } from './limits/admission.ts'
import { createLiveRelay } from './live-relay.ts'
import { createPlayMetrics, exposeMaxAge, exposeProcess } from './metrics.ts'
import { openConsole } from './mounted-console.ts'
import { serveOperations } from './operations.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { createOutboxFiles, type OutboxFiles } from './outbox-files.ts'
import { createPlayer } from './player.ts'
import { createPrefetcher } from './prefetch.ts'
import { createRecorder } from './recorder.ts'
import { openRecording } from './recording.ts'
import { createReadAudience } from './rights/audience.ts'
import { APPEND_TIMEOUT_MS, type playSettings, processSettings } from './settings.ts'
import { createSiblings, type Siblings } from './siblings.ts'
import { openUpstreams, UPSTREAM_TIMEOUT_MS } from './upstreams.ts'
import { createViewExplainer } from './view-explainer.ts'

/** Bounds the work that anyone on the network can cause with `/readyz`. */
const READINESS_CACHE_MS = 250

type PlaySettings = ServiceSettings<typeof playSettings> & { REUSE_PORT?: boolean | undefined }

/** The connections and files that play uses besides its HTTP calls to other services. */
export type Backbone = {
  eventLog: EventLog
  invalidations: Invalidations
  /** Records views while the log is unavailable. Without an outbox, plays fail during that time. */
  outbox?: Outbox
  /** The outboxes of all processes: play searches them for views, and drains those of processes that have ended. */
  outboxFiles?: Pick<OutboxFiles, 'openOrphans' | 'find'>
  /** The other processes on the same port, if it is shared. */
  siblings?: Siblings | undefined
  /** How long a play waits for its view to be appended to the log. */
  appendTimeoutMs?: number
  /** The file for the system's history. By default, the history is kept in memory. */
  historyFile?: string
}

/** The benchmark replaces each of these optimizations with a naive version, to measure its effect. */
const strategies = { createAssetCache, createCountLookup, createRecorder }
export type Strategies = typeof strategies

/** Starts the edge with a given event log. */
export async function startPlay(
  service: Service,
  settings: PlaySettings,
  {
    eventLog,
    invalidations,
    outbox,
    outboxFiles,
    siblings,
    appendTimeoutMs = APPEND_TIMEOUT_MS,
    historyFile = ':memory:',
  }: Backbone,
  { createAssetCache, createCountLookup, createRecorder }: Strategies = strategies,
) {
  const { health, log, resources } = service
  checkWriteToken(settings, log)
  const identity = await openIdentity(service, settings)
  const metrics = createPlayMetrics(service.metrics)

  health.watch(eventLog.name, {
    state: eventLog.state,
    reason: eventLog.reason,
    problem: eventLog.problem,
    required: () => outbox?.state() !== 'up',
  })
  if (outbox) health.watch('outbox', { state: outbox.state, required: false })
  const upstreams = await openUpstreams(service, settings, { invalidations, createAssetCache, onRead: metrics.reads })
  const { clients, caches, reporting } = upstreams
  const recording = openRecording(service, {
    eventLog,
    outbox,
    outboxFiles,
    appendTimeoutMs,
    metrics,
    createRecorder,
  })
  const { record, recent, producer, backlog } = recording
  const lookUpCounts = createCountLookup({
    reporting,
    producer,
    timeoutMs: UPSTREAM_TIMEOUT_MS,
    log,
    onBatch: metrics.lookup,
  })
  const aggregate = createAggregator({ metadata: caches.metadata, cdnUrls: caches.cdnurl, lookUpCounts })
  const playKeyed = createKeyedPlayer({ aggregate, record, onOutcome: metrics.keyed })
  const play = createPlayer({ aggregate, record, playKeyed })
  const prefetch = createPrefetcher({ aggregate, onServed: metrics.prefetched })
  const explain = createViewExplainer({
    reporting: clients.reporting,
    findWaiting: outboxFiles?.find,
    recent,
    eventLog,
    log,
  })

  const live = createLiveFeed({ ...service, source: createLiveRelay({ reporting, log }) })
  const { console, history } = openConsole(service, settings, {
    upstreams,
    eventLog,
    outbox,
    invalidations,
    historyFile,
    backlog,
  })
  const traces = createTraces(service.tracing, { services: clients, siblings: siblings?.client })
  if (siblings) resources.use(await siblings.serve(createLocalTraceRoutes(traces)))
  const { CORS_ORIGINS: corsOrigins, OPS_PORT, TRUSTED_PROXIES: proxies } = settings
  const { degraded: onDegraded, denied: onDenied } = metrics
  const app = createApp({
    ...service,
    ...createAdmission(service, settings, metrics),
    readiness: cacheFor(READINESS_CACHE_MS, health.readiness),
    audienceOf: createReadAudience(settings, (c) => proxies !== undefined && isFromProxy(c, proxies)),
    identity,
    play,
    record,
    prefetch,
    explain,
    live,
    console,
    traces,
    tokens: [settings.READ_TOKEN, ...(settings.WRITE_TOKEN?.accepted ?? [])].filter((token) => token !== undefined),
    corsOrigins,
    hasOperationsPort: OPS_PORT !== undefined,
    onDegraded,
    onDenied,
  })
  await serveOperations(app, service, settings)
  const address = await serve(app, service, settings)
  recording.start()
  history.start()
  return address
}

export const play = {
  ...services.play,
  settings: processSettings,
  async start(service: Service, settings: ServiceSettings<typeof processSettings>, replaced?: Partial<Strategies>) {
    const { log, resources } = service
    const { HOST, DATA_DIR, EVENTS_REPLICAS: replicas } = settings
    const { EVENTS_MAX_AGE: maxAgeMs, APPEND_TIMEOUT: appendTimeoutMs } = settings
    if (settings.REUSE_PORT) {
      if (settings.PORT === 0) throw new UsageError('PORT is "0": with REUSE_PORT, it must be the port to share')
      exposeProcess(service.metrics)
    }
    exposeMaxAge(service.metrics, maxAgeMs)
    const PORT = await choosePort(settings.PORT, HOST)
    const nats = resources.use(openNatsLink({ ...toNatsAccess(settings), ...service }))
    const eventLog = resources.use(createJetStreamEventLog({ nats, log, maxAgeMs, replicas }))
    const outboxFiles = createOutboxFiles({ directory: DATA_DIR, log })
    const outbox = resources.use(createOutbox(`for port ${PORT} in ${DATA_DIR}`, () => outboxFiles.claim(PORT)))
    const invalidations = createNatsInvalidations(nats)
    // Processes that share a port share one history.
    const historyFile = join(DATA_DIR, `history-${PORT}.sqlite`)
    const siblings = settings.REUSE_PORT ? createSiblings({ directory: DATA_DIR, port: PORT, log }) : undefined
    const backbone = { eventLog, invalidations, outbox, outboxFiles, siblings, appendTimeoutMs, historyFile }
    return startPlay(service, { ...settings, PORT }, backbone, { ...strategies, ...replaced })
  },
}
