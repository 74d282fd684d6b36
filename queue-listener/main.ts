import { createJetStreamEventLog } from '../shared/event-log/jetstream-event-log.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { createServiceClient } from '../shared/http/service-client.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { listen } from '../shared/runtime/listen.ts'
import { runService, stopped } from '../shared/runtime/service.ts'
import { eventsMaxAge, instances, natsUrl } from '../shared/runtime/settings.ts'
import { forward } from './forward.ts'
import { createProgress } from './progress.ts'
import { createReporting } from './reporting.ts'

const settings = {
  NATS_URL: natsUrl,
  EVENTS_MAX_AGE: eventsMaxAge,
  REPORTING_URL: instances('http://127.0.0.1:8082', 'Where reporting is'),
}

await runService(
  { name: 'queue-listener', port: 8084, settings, script: import.meta.filename },
  async (service, { PORT, HOST, NATS_URL, REPORTING_URL, EVENTS_MAX_AGE }) => {
    const { health, log, metrics, stopping } = service
    await using nats = openNatsLink({ servers: NATS_URL, ...service })
    await using client = createServiceClient({ name: 'reporting', instances: REPORTING_URL })
    await using eventLog = createJetStreamEventLog({ nats, log, maxAgeMs: EVENTS_MAX_AGE })
    health.watch('nats', { state: nats.state, required: true })
    health.watch('reporting', { state: client.state, required: true })
    await using _ = await listen(createBaseApp(service), { port: PORT, host: HOST, log })

    const reporting = createReporting(client)
    const onForwarded = createProgress({ metrics, eventLog, reporting })
    const forwarding = forward({ eventLog, reporting, log, onForwarded }, stopping)
    await stopped(service)
    await forwarding
  },
)
