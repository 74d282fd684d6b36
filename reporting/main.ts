import { serve } from '../shared/runtime/serve.ts'
import { runService, stopped } from '../shared/runtime/service.ts'
import { createApp } from './app.ts'
import { createViewCounts } from './view-counts.ts'

await runService(
  { name: 'reporting', port: 8082, settings: {}, script: import.meta.filename },
  async (service, { PORT, HOST }) => {
    const app = createApp({ ...service, counts: createViewCounts() })
    await using _ = await serve(app, service, { port: PORT, host: HOST })
    await stopped(service)
  },
)
