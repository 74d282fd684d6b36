import type { z } from 'zod'
import { createCatalogue } from '../console/catalogue.ts'
import { createConsole } from '../console/console.ts'
import { createStatus } from '../console/status.ts'
import { type ServiceEntry, services, urlsOf } from '../services.ts'
import type { Invalidations } from '../shared/catalogue/invalidations.ts'
import { createNatsInvalidations } from '../shared/catalogue/nats-invalidations.ts'
import { withCircuitBreaker } from '../shared/client/circuit-breaker.ts'
import { instrumentClient } from '../shared/client/instrument-client.ts'
import { createServiceClient, type ServiceClient } from '../shared/client/service-client.ts'
import { upstreamCa } from '../shared/client/settings.ts'
import { CdnUrl } from '../shared/contracts/cdn-url.ts'
import { Metadata } from '../shared/contracts/metadata.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { createJetStreamEventLog } from '../shared/event-log/jetstream-event-log.ts'
import { eventsMaxAge } from '../shared/event-log/settings.ts'
import { checkWriteToken, writeToken } from '../shared/http/write-token.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { toNatsAccess } from '../shared/nats/credentials.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { eventsReplicas, natsSettings } from '../shared/nats/settings.ts'
import { UsageError } from '../shared/runtime/command-line.ts'
import { dataDir, duration, optionalFlag, optionalOrigins } from '../shared/runtime/settings.ts'
import { choosePort } from '../shared/service/listen.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import { serve } from '../shared/service/serve.ts'
import type { Service } from '../shared/service/service.ts'
import { createAdopter } from './adopter.ts'
import { createAggregator } from './aggregate.ts'
import { createApp } from './app.ts'
import { type AssetCache, createAssetCache } from './asset-cache.ts'
import { createAssetLoader } from './asset-loader.ts'
import { createCountLookup } from './count-lookup.ts'
import { SOURCE } from './drain.ts'
import { createKeyedPlayer } from './keyed-player.ts'
import { createLiveRelay } from './live-relay.ts'
import { createPlayMetrics, exposeMaxAge, exposeOutbox, exposeProcess } from './metrics.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { createOutboxFiles, type OutboxFiles } from './outbox-files.ts'
import { createPlayer } from './player.ts'
import { createRecentViews } from './recent-views.ts'
import { type Append, createRecorder } from './recorder.ts'
import { createSerials } from './serials.ts'
import { createSpooler } from './spooler.ts'
import { createViewExplainer } from './view-explainer.ts'

/** The deadline for all upstream calls of a play, which run in parallel. */
const UPSTREAM_TIMEOUT_MS = 500
const MAX_CACHED_ASSETS = 10_000
/** Short enough to leave time for the upstream calls and the outbox within the one second that a play may take. */
const APPEND_TIMEOUT_MS = 300

export const playSettings = {
  METADATA_URL: urlsOf(services.metadata),
  CDNURL_URL: urlsOf(services.cdnurl),
  REPORTING_URL: urlsOf(services.reporting),
  QUEUE_LISTENER_URL: urlsOf(services['queue-listener']),
  PLAY_URL: optionalOrigins('URLs of all instances of play, separated by commas, for /status'),
  UPSTREAM_CA: upstreamCa,
  CATALOGUE_TTL: duration('5s', 'How long cached data of an asset stays fresh'),
  WRITE_TOKEN: writeToken,
  CORS_ORIGINS: optionalOrigins("Origins whose pages may read play's responses, separated by commas"),
}
const processSettings = {
  ...playSettings,
  ...natsSettings,
  DATA_DIR: dataDir,
  EVENTS_MAX_AGE: eventsMaxAge,
  EVENTS_REPLICAS: eventsReplicas,
  APPEND_TIMEOUT: duration(
    `${APPEND_TIMEOUT_MS}ms`,
    'How long a play waits for the log before its view goes to the outbox; at least twice the round trip to NATS',
  ),
  REUSE_PORT: optionalFlag('1: other play processes may listen on the same port, if each of them sets this'),
}

/** The connections to other services besides HTTP. */
export type Backbone = {
  eventLog: EventLog
  invalidations: Invalidations
  /** Records views while the log is unavailable. Without an outbox, plays then fail. */
  outbox?: Outbox
  /** The outboxes of all processes, to drain those of processes that have ended, and to find views in them. */
  outboxFiles?: Pick<OutboxFiles, 'openOrphans' | 'find'>
  /** How long a play waits for its view to be appended to the log. */
  appendTimeoutMs?: number
}

/** The optimizations. The benchmark replaces each one with a naive version to measure its effect. */
const strategies = { createAssetCache, createCountLookup, createRecorder }
export type Strategies = typeof strategies

/** Starts the edge on a given log. */
export async function startPlay(
  service: Service,
  settings: ServiceSettings<typeof playSettings> & { REUSE_PORT?: boolean | undefined },
  { eventLog, invalidations, outbox, outboxFiles, appendTimeoutMs = APPEND_TIMEOUT_MS }: Backbone,
  { createAssetCache, createCountLookup, createRecorder }: Strategies = strategies,
) {
  const { discovery, health, log, resources } = service
  checkWriteToken(settings, log)
  const metrics = createPlayMetrics(service.metrics)

  const clients: ServiceClient[] = []
  function connect({ name }: ServiceEntry, urls: string[]) {
    const instances = discovery.instancesOf(name, urls)
    const client = resources.use(createServiceClient({ name, instances, ca: settings.UPSTREAM_CA }))
    clients.push(client)
    return client
  }
  function protect(upstream: ServiceClient) {
    const client = withCircuitBreaker(upstream, service)
    const { state, reason, circuit } = client
    health.watch(upstream.name, { state, reason, circuit, required: false })
    return instrumentClient(client, service.metrics)
  }
  function cacheOf<Schema extends z.ZodType>(owner: ServiceClient, path: string, schema: Schema) {
    const load = createAssetLoader(owner, { path, schema, timeoutMs: UPSTREAM_TIMEOUT_MS })
    const onRead = metrics.reads(owner.name)
    return createAssetCache({ load, ttlMs: settings.CATALOGUE_TTL, max: MAX_CACHED_ASSETS, onRead })
  }

  health.watch(eventLog.name, {
    state: eventLog.state,
    reason: eventLog.reason,
    problem: eventLog.problem,
    required: () => outbox?.state() !== 'up',
  })
  if (outbox) health.watch('outbox', { state: outbox.state, required: false })
  const metadata = protect(connect(services.metadata, settings.METADATA_URL))
  const cdnurl = protect(connect(services.cdnurl, settings.CDNURL_URL))
  const verdicts = connect(services.reporting, settings.REPORTING_URL)
  const reporting = protect(verdicts)
  connect(services['queue-listener'], settings.QUEUE_LISTENER_URL)
  connect(services.play, settings.PLAY_URL ?? [])

  const caches = {
    metadata: cacheOf(metadata, '/content', Metadata),
    cdnurl: cacheOf(cdnurl, '/url', CdnUrl),
  }
  expireOnInvalidation(caches, invalidations)
  const lookUpCounts = createCountLookup({ reporting, timeoutMs: UPSTREAM_TIMEOUT_MS, log, onBatch: metrics.lookup })
  const aggregate = createAggregator({ metadata: caches.metadata, cdnUrls: caches.cdnurl, lookUpCounts })

  const spooler = outbox && resources.use(createSpooler({ eventLog, outbox, log, appendTimeoutMs }))
  const adopter =
    outboxFiles &&
    spooler &&
    resources.use(createAdopter({ files: outboxFiles, eventLog, log, onAcknowledged: spooler.name }))
  const backlog = outbox && (() => outbox.size() + (adopter?.size() ?? 0))
  if (backlog) exposeOutbox(service.metrics, { size: backlog })
  const append = spooler?.append ?? createDirectAppend(eventLog)
  const recent = createRecentViews()
  const record = createRecorder({
    append: recent.observe(metrics.instrumentAppend(append)),
    timeoutMs: appendTimeoutMs,
  })
  const playKeyed = createKeyedPlayer({ aggregate, record, onOutcome: metrics.keyed })
  const play = createPlayer({ aggregate, record, playKeyed })
  // Without the circuit breaker of plays: their counts must not depend on how long explanations take.
  const explain = createViewExplainer({ reporting: verdicts, findWaiting: outboxFiles?.find, recent, eventLog, log })

  const live = createLiveFeed({ ...service, source: createLiveRelay({ reporting, log }) })
  const catalogue = createCatalogue({ metadata, reporting, log })
  const status = createStatus({ health, clients, invalidations, backlog })
  const console = createConsole({ catalogue, status })
  const { CORS_ORIGINS: corsOrigins } = settings
  const app = createApp({ ...service, play, explain, live, console, corsOrigins, onDegraded: metrics.degraded })
  const address = await serve(app, service, settings)
  spooler?.start()
  adopter?.start()
  return address
}

/** Appends without an outbox: a view that the log does not acknowledge is not recorded. */
function createDirectAppend(eventLog: EventLog): Append {
  const producer = eventLog.producer(SOURCE)
  const serials = createSerials()
  return async (unnumbered, signal) => {
    const views = serials.number(unnumbered)
    await producer.append(views, signal)
    serials.record(views)
    return 'log'
  }
}

function expireOnInvalidation(caches: Record<string, AssetCache<unknown>>, invalidations: Invalidations): void {
  invalidations.subscribe(
    ({ service, id }) => Object.hasOwn(caches, service) && caches[service]?.expire(id),
    () => {
      for (const cache of Object.values(caches)) cache.expireAll()
    },
  )
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
    const outbox = resources.use(createOutbox(`of port ${PORT} in ${DATA_DIR}`, () => outboxFiles.claim(PORT)))
    const invalidations = createNatsInvalidations(nats)
    const backbone = { eventLog, invalidations, outbox, outboxFiles, appendTimeoutMs }
    return startPlay(service, { ...settings, PORT }, backbone, { ...strategies, ...replaced })
  },
}
