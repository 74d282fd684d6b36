import { catalogueTtl, dataDir, eventsMaxAge, instances, natsUrl } from '../shared/runtime/settings.ts'

export const playSettings = {
  NATS_URL: natsUrl,
  METADATA_URL: instances('http://127.0.0.1:8081', 'Where metadata is'),
  CDNURL_URL: instances('http://127.0.0.1:8083', 'Where cdnurl is'),
  REPORTING_URL: instances('http://127.0.0.1:8082', 'Where reporting is'),
  CATALOGUE_TTL: catalogueTtl,
  DATA_DIR: dataDir,
  EVENTS_MAX_AGE: eventsMaxAge,
}
