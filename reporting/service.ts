import { services } from '../services.ts'
import { assertWritesProtected, writeSettings } from '../shared/http/write-token.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import { serve } from '../shared/service/serve.ts'
import type { Service } from '../shared/service/service.ts'
import { createApp } from './app.ts'
import { maxUsers, watchHeap } from './capacity.ts'
import { createLiveCounts } from './live-counts.ts'
import { instrumentCounts } from './metrics.ts'
import { createViewCounts } from './view-counts.ts'

const own = { MAX_USERS: maxUsers, ...writeSettings }

export const reporting = {
  ...services.reporting,
  settings: own,
  async start(service: Service, settings: ServiceSettings<typeof own>) {
    assertWritesProtected(settings, service.log)
    const capacity = { maxIds: settings.MAX_USERS, ...service.resources.use(watchHeap()) }
    const counts = createLiveCounts(instrumentCounts(service, createViewCounts(capacity), capacity))
    const live = createLiveFeed({ ...service, source: counts.follow })
    return serve(createApp({ ...service, counts, live, writeToken: settings.WRITE_TOKEN }), service, settings)
  },
}
