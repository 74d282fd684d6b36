import { createLocalChanges } from '../shared/changes/local-changes.ts'
import { createNatsChanges } from '../shared/changes/nats-changes.ts'
import { CdnUrlFields } from '../shared/contracts/cdn-url.ts'
import { checkOpenWrites, writeSettings } from '../shared/http/write-guard.ts'
import { openNatsLink } from '../shared/nats/link.ts'
import { serve } from '../shared/runtime/serve.ts'
import { runService, stopped } from '../shared/runtime/service.ts'
import { natsUrl } from '../shared/runtime/settings.ts'
import { createKvStore } from '../shared/stores/kv-store.ts'
import { createMapStore } from '../shared/stores/map-store.ts'
import { createApp } from './app.ts'
import { seed } from './seed.ts'

await runService(
  {
    name: 'cdnurl',
    port: 8083,
    settings: { NATS_URL: natsUrl.optional(), ...writeSettings },
    script: import.meta.filename,
  },
  async (service, settings) => {
    const { PORT, HOST, NATS_URL, WRITE_TOKEN } = settings
    checkOpenWrites(settings, service.log)
    await using nats = NATS_URL && openNatsLink({ servers: NATS_URL, ...service })
    await using kv =
      nats && createKvStore({ nats, bucket: 'cdnurl', schema: CdnUrlFields, defaults: seed, log: service.log })
    if (kv) service.health.watch('nats', { state: kv.state, required: () => !kv.isLoaded() })
    const changes = nats ? createNatsChanges(nats) : createLocalChanges()
    const app = createApp({ ...service, store: kv ?? createMapStore(seed), changes, writeToken: WRITE_TOKEN })
    await using _ = await serve(app, service, { port: PORT, host: HOST })
    await stopped(service)
  },
)
