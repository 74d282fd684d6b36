import { checkOpenWrites, writeSettings } from '../shared/http/write-guard.ts'
import { createLiveFeed } from '../shared/live/live-feed.ts'
import { serve } from '../shared/runtime/serve.ts'
import { runService, stopped } from '../shared/runtime/service.ts'
import { createApp } from './app.ts'
import { createLiveCounts } from './live-counts.ts'
import { measureCounts } from './metrics.ts'
import { createViewCounts } from './view-counts.ts'

await runService(
  { name: 'reporting', port: 8082, settings: writeSettings, script: import.meta.filename },
  async (service, settings) => {
    const { PORT, HOST, WRITE_TOKEN } = settings
    checkOpenWrites(settings, service.log)
    const counts = createLiveCounts(measureCounts(service.metrics, createViewCounts()))
    const live = createLiveFeed({ ...service, source: counts.follow })
    const app = createApp({ ...service, counts, live, writeToken: WRITE_TOKEN })
    await using _ = await serve(app, service, { port: PORT, host: HOST })
    await stopped(service)
  },
)
