import { join } from 'node:path'
import { services } from '../services.ts'
import { readToken } from '../shared/http/read-token.ts'
import { assertWritesProtected, writeSettings } from '../shared/http/write-token.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { natsUrl } from '../shared/nats/settings.ts'
import { dataDir, duration, optionalFlag } from '../shared/runtime/settings.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import { serve } from '../shared/service/serve.ts'
import type { Service } from '../shared/service/service.ts'
import { createApp } from './app.ts'
import type { ReportObserver } from './count-store.ts'
import { whileCurrent } from './current-live.ts'
import { createCurrentness, onceLoaded } from './currentness.ts'
import { maxUsers, watchHeap } from './maps/capacity.ts'
import { CHECKPOINT, toCheckpointPath } from './maps/checkpoint-file.ts'
import { keysKept, seriesKept, verdictsKept } from './maps/kept.ts'
import { checkpointEvery, openMapCountStore } from './maps/open-map-store.ts'
import { exposeCurrentness, instrumentCounts } from './metrics.ts'
import { databasePool, databaseUrl, verdictsMaxAge } from './postgres/settings.ts'
import { viewRules } from './rules/settings.ts'

/** Must exceed 500 ms, the interval at which queue-listener reports the end of the log. */
const MIN_MAX_LAG_MS = 1_000

const ownSettings = {
  ...writeSettings,
  READ_TOKEN: readToken,
  NATS_URL: natsUrl.optional().meta({
    description: 'If set, queue-listener feeds reporting from the log; reporting itself does not connect to NATS',
  }),
  FED_BY_LOG: optionalFlag(
    '1: serve no counts until queue-listener reports the end of the log; default: 1 if NATS_URL is set',
  ),
  DATABASE_URL: databaseUrl,
  DATABASE_POOL: databasePool,
  DATA_DIR: dataDir,
  CHECKPOINT_EVERY: checkpointEvery,
  MAX_USERS: maxUsers,
  VIEW_RULES: viewRules,
  VERDICTS_KEPT: verdictsKept,
  VERDICTS_MAX_AGE: verdictsMaxAge,
  KEYS_KEPT: keysKept,
  SERIES_KEPT: seriesKept,
  MAX_LAG: duration(
    '10s',
    'How far the counts may be behind the log before they are no longer served; at least 1s',
  ).refine((ms) => ms >= MIN_MAX_LAG_MS, { error: 'must be at least 1s' }),
}

type Settings = ServiceSettings<typeof ownSettings>

type StoreOptions = { checkpoint: string; onReport: ReportObserver }

async function openCountStore(
  service: Service,
  { DATABASE_URL: urls, DATABASE_POOL: maxConnections, VIEW_RULES: rules, ...settings }: Settings,
  { checkpoint, onReport }: StoreOptions,
) {
  const { VERDICTS_MAX_AGE: verdictsMaxAgeMs, VERDICTS_KEPT: verdicts, KEYS_KEPT: keys } = settings
  if (urls) {
    // The Postgres client is loaded only if it is used.
    const { startPostgresCountStore } = await import('./postgres/service.ts')
    const options = { urls, maxConnections, onReport, rules, verdictsMaxAgeMs, maxKeys: keys }
    return startPostgresCountStore(service, options)
  }
  const capacity = { maxIds: settings.MAX_USERS, ...service.resources.use(watchHeap()) }
  const path = toCheckpointPath(join(settings.DATA_DIR, checkpoint), rules)
  const kept = { verdicts, keys, series: settings.SERIES_KEPT }
  return openMapCountStore({ path, everyMs: settings.CHECKPOINT_EVERY, capacity, kept, rules, onReport, ...service })
}

export const reporting = {
  ...services.reporting,
  settings: ownSettings,
  /** @param checkpoint the checkpoint's name in DATA_DIR; counts from different logs need different names */
  async start(service: Service, settings: Settings, { checkpoint = CHECKPOINT } = {}) {
    const {
      NATS_URL,
      FED_BY_LOG = NATS_URL !== undefined,
      MAX_LAG: maxLagMs,
      WRITE_TOKEN: writeToken,
      READ_TOKEN,
      VIEW_RULES: rules,
    } = settings
    assertWritesProtected(settings, service.log)
    const reported = createCurrentness({ maxLagMs, isFedByLog: FED_BY_LOG })
    const store = await openCountStore(service, settings, { checkpoint, onReport: reported.observe })
    const currentness = onceLoaded(reported, store)
    const counts = instrumentCounts(service, store)
    service.health.describe(() => ({ counting: { ...currentness.counting(), rules } }))
    exposeCurrentness(service.metrics, currentness)
    const live = createLiveFeed({ ...service, source: whileCurrent(counts.follow, currentness.isCurrent) })
    return serve(
      createApp({ ...service, counts, currentness, live, writeToken, readToken: READ_TOKEN }),
      service,
      settings,
    )
  },
}
