import { services } from '../services.ts'
import { assertWritesProtected, writeSettings } from '../shared/http/write-token.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import type { ServiceSettings } from '../shared/service/run-service.ts'
import { serve } from '../shared/service/serve.ts'
import type { Service } from '../shared/service/service.ts'
import { createApp } from './app.ts'
import { createLiveCounts } from './live-counts.ts'
import { instrumentCounts } from './metrics.ts'
import { createViewCounts } from './view-counts.ts'

export const reporting = {
  ...services.reporting,
  settings: writeSettings,
  async start(service: Service, settings: ServiceSettings<typeof writeSettings>) {
    assertWritesProtected(settings, service.log)
    const counts = createLiveCounts(instrumentCounts(service, createViewCounts()))
    const live = createLiveFeed({ ...service, source: counts.follow })
    return serve(createApp({ ...service, counts, live, writeToken: settings.WRITE_TOKEN }), service, settings)
  },
}
