import { z } from 'zod'
import { writeToken } from '../shared/http/write-guard.ts'
import { catalogueTtl, corsOrigins, dataDir, eventsMaxAge, natsUrl, origins } from '../shared/runtime/settings.ts'

/** The ideas that make play fast. The benchmark leaves them out to show what each is worth. */
const Idea = z.enum(['cache', 'group-lookups', 'group-commit'])
export type Idea = z.infer<typeof Idea>

export const playSettings = {
  NATS_URL: natsUrl,
  METADATA_URL: origins('http://127.0.0.1:8081', 'Where metadata is'),
  CDNURL_URL: origins('http://127.0.0.1:8083', 'Where cdnurl is'),
  REPORTING_URL: origins('http://127.0.0.1:8082', 'Where reporting is'),
  QUEUE_LISTENER_URL: origins('http://127.0.0.1:8084', 'Where queue-listener is, to show its health'),
  CATALOGUE_TTL: catalogueTtl,
  WRITE_TOKEN: writeToken,
  CORS_ORIGINS: corsOrigins,
  DATA_DIR: dataDir,
  EVENTS_MAX_AGE: eventsMaxAge,
  BENCH_WITHOUT: z
    .string()
    .default('')
    .transform((text) => text.split(',').filter(Boolean))
    .pipe(z.array(Idea, { error: 'must be some of cache, group-lookups, group-commit, separated by commas' }))
    .transform((ideas): ReadonlySet<Idea> => new Set(ideas))
    .meta({ description: 'For `npm run bench`: what to leave out, of cache, group-lookups, group-commit' }),
}
