import { createJetStreamEventLog } from '../shared/event-log/jetstream-event-log.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import { measure } from '../shared/http/measured-client.ts'
import { createServiceClient } from '../shared/http/service-client.ts'
import { warnWithoutToken, writeToken } from '../shared/http/write-guard.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { serve } from '../shared/runtime/serve.ts'
import { runService, stopped } from '../shared/runtime/service.ts'
import { eventsMaxAge, natsUrl, origins } from '../shared/runtime/settings.ts'
import { forward } from './forward.ts'
import { createProgress } from './progress.ts'
import { createReporting } from './reporting.ts'

const settings = {
  NATS_URL: natsUrl,
  EVENTS_MAX_AGE: eventsMaxAge,
  WRITE_TOKEN: writeToken,
  REPORTING_URL: origins('http://127.0.0.1:8082', 'Where reporting is'),
}

await runService(
  { name: 'queue-listener', port: 8084, settings, script: import.meta.filename },
  async (service, { PORT, HOST, NATS_URL, REPORTING_URL, EVENTS_MAX_AGE, WRITE_TOKEN }) => {
    const { discovery, health, log, metrics, stopping, tracing } = service
    warnWithoutToken({ WRITE_TOKEN, HOST }, log)
    const instances = discovery.instancesOf('reporting', REPORTING_URL)
    await using nats = openNatsLink({ servers: NATS_URL, ...service })
    await using client = measure(createServiceClient({ name: 'reporting', instances, token: WRITE_TOKEN }), service)
    await using eventLog = createJetStreamEventLog({ nats, log, maxAgeMs: EVENTS_MAX_AGE })
    health.watch('nats', { state: nats.state, required: true })
    health.watch('reporting', { state: client.state, required: true })
    await using _ = await serve(createBaseApp(service), service, { port: PORT, host: HOST })

    const reporting = createReporting(client, tracing)
    const onForwarded = createProgress({ metrics, eventLog, reporting })
    const forwarding = forward({ eventLog, reporting, log, onForwarded }, stopping)
    await stopped(service)
    await forwarding
  },
)
