import { services } from '../services.ts'
import { assertWritesProtected, writeSettings } from '../shared/http/write-token.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { natsUrl } from '../shared/nats/settings.ts'
import { duration, optionalFlag } from '../shared/runtime/settings.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import { serve } from '../shared/service/serve.ts'
import type { Service } from '../shared/service/service.ts'
import { createApp } from './app.ts'
import type { CountStore, ReportObserver } from './count-store.ts'
import { whileCurrent } from './current-live.ts'
import { createCurrentness } from './currentness.ts'
import { maxUsers, watchHeap } from './maps/capacity.ts'
import { createMapCountStore } from './maps/map-count-store.ts'
import { exposeCapacity, exposeCurrentness, instrumentCounts } from './metrics.ts'
import { startPostgresCountStore } from './postgres/service.ts'
import { databasePool, databaseUrl } from './postgres/settings.ts'

/** queue-listener reports the end of the log every 500 ms. */
const MIN_MAX_LAG_MS = 1_000

const ownSettings = {
  ...writeSettings,
  NATS_URL: natsUrl.optional().meta({
    description: 'If set, queue-listener feeds reporting from the log; reporting itself does not connect to NATS',
  }),
  FED_BY_LOG: optionalFlag(
    '1: serve no counts before queue-listener reports the end of the log; default: 1 if NATS_URL is set',
  ),
  DATABASE_URL: databaseUrl,
  DATABASE_POOL: databasePool,
  MAX_USERS: maxUsers,
  MAX_LAG: duration(
    '10s',
    'How far the counts may be behind the log before they are no longer served; at least 1s',
  ).refine((ms) => ms >= MIN_MAX_LAG_MS, { error: 'must be at least 1s' }),
}

type Settings = ServiceSettings<typeof ownSettings>

function openCountStore(service: Service, settings: Settings, onReport: ReportObserver): CountStore {
  const { DATABASE_URL: urls, DATABASE_POOL: maxConnections, MAX_USERS: maxIds } = settings
  if (urls) return startPostgresCountStore(service, { urls, maxConnections, onReport })
  const capacity = { maxIds, ...service.resources.use(watchHeap()) }
  exposeCapacity(service.metrics, capacity)
  return createMapCountStore({ capacity, onReport })
}

export const reporting = {
  ...services.reporting,
  settings: ownSettings,
  async start(service: Service, settings: Settings) {
    const { NATS_URL, FED_BY_LOG = NATS_URL !== undefined, MAX_LAG: maxLagMs, WRITE_TOKEN: writeToken } = settings
    assertWritesProtected(settings, service.log)
    const currentness = createCurrentness({ maxLagMs, isFedByLog: FED_BY_LOG })
    const counts = instrumentCounts(service, openCountStore(service, settings, currentness.observe))
    service.health.describe(() => ({ counting: currentness.counting() }))
    exposeCurrentness(service.metrics, currentness)
    const live = createLiveFeed({ ...service, source: whileCurrent(counts.follow, currentness.isCurrent) })
    return serve(createApp({ ...service, counts, currentness, live, writeToken }), service, settings)
  },
}
