import { createNatsChanges } from '../shared/changes/nats-changes.ts'
import { createJetStreamEventLog } from '../shared/event-log/jetstream-event-log.ts'
import { createServiceClient } from '../shared/http/service-client.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { listen } from '../shared/runtime/listen.ts'
import { runService, stopped } from '../shared/runtime/service.ts'
import { createApp } from './app.ts'
import { createRecorder } from './recorder.ts'
import { playSettings } from './settings.ts'
import { createSources } from './sources.ts'

await runService(
  { name: 'play', port: 8080, settings: playSettings, script: import.meta.filename },
  async (service, settings) => {
    const { health, log } = service
    await using nats = openNatsLink({ servers: settings.NATS_URL, ...service })
    await using metadata = createServiceClient({ name: 'metadata', instances: settings.METADATA_URL })
    await using cdnurl = createServiceClient({ name: 'cdnurl', instances: settings.CDNURL_URL })
    await using reporting = createServiceClient({ name: 'reporting', instances: settings.REPORTING_URL })
    await using eventLog = createJetStreamEventLog({ nats, log })
    health.watch('nats', { state: nats.state, required: true })
    for (const client of [metadata, cdnurl, reporting]) {
      health.watch(client.name, { state: client.state, required: false })
    }

    const changes = createNatsChanges(nats)
    const sources = createSources({ metadata, cdnurl, reporting, changes, ttlMs: settings.CATALOGUE_TTL, log })
    const app = createApp({ ...service, sources, record: createRecorder({ eventLog }) })
    await using _ = await listen(app, { port: settings.PORT, host: settings.HOST, log })
    await stopped(service)
  },
)
