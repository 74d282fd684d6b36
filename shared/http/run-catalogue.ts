import type { z } from 'zod'
import { createLocalChanges } from '../changes/local-changes.ts'
import { createNatsChanges } from '../changes/nats-changes.ts'
import { openNatsLink } from '../nats/link.ts'
import type { App } from '../runtime/listen.ts'
import { serve } from '../runtime/serve.ts'
import { runService, stopped } from '../runtime/service.ts'
import { natsUrl } from '../runtime/settings.ts'
import { createKvStore } from '../stores/kv-store.ts'
import { createMapStore } from '../stores/map-store.ts'
import type { CatalogueDeps } from './catalogue-app.ts'
import { checkOpenWrites, writeSettings } from './write-guard.ts'

type Definition<Fields> = {
  name: string
  port: number
  /** What is kept of an asset. */
  fields: z.ZodType<Fields, Fields>
  /** What the service starts with. */
  seed: [id: string, fields: Fields][]
  createApp: (deps: CatalogueDeps<Fields>) => App
  script: string
}

/** Runs a process that keeps one kind of data of each asset: in a map, which with NATS_URL follows a bucket there. */
export async function runCatalogue<Fields>({ fields, seed, createApp, ...process }: Definition<Fields>): Promise<void> {
  const settings = { NATS_URL: natsUrl.optional(), ...writeSettings }
  await runService({ ...process, settings }, async (service, settings) => {
    const { name, log, health } = service
    const { PORT, HOST, NATS_URL, WRITE_TOKEN } = settings
    checkOpenWrites(settings, log)
    await using nats = NATS_URL && openNatsLink({ servers: NATS_URL, ...service })
    await using kv = nats && createKvStore({ nats, bucket: name, schema: fields, defaults: seed, log })
    if (kv) health.watch('nats', { state: kv.state, required: () => !kv.isLoaded() })
    const changes = nats ? createNatsChanges(nats) : createLocalChanges()
    const store = kv ?? createMapStore(seed)
    const app = createApp({ ...service, store, changes, writeToken: WRITE_TOKEN })
    await using _ = await serve(app, service, { port: PORT, host: HOST })
    await stopped(service)
  })
}
