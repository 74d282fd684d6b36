import type { z } from 'zod'
import { assertWritesProtected, writeSettings } from '../http/write-token.ts'
import { toNatsAccess } from '../nats/credentials.ts'
import { openNatsLink } from '../nats/link.ts'
import { eventsReplicas, natsSettings, natsUrl } from '../nats/settings.ts'
import type { Address, App } from '../service/listen.ts'
import type { ServiceSettings } from '../service/run-service.ts'
import { serve } from '../service/serve.ts'
import type { Service } from '../service/service.ts'
import { createKvStore } from '../stores/kv-store.ts'
import { createMapStore } from '../stores/map-store.ts'
import type { CatalogueDeps } from './catalogue-app.ts'
import type { Invalidations } from './invalidations.ts'
import { createLocalInvalidations } from './local-invalidations.ts'
import { createNatsInvalidations } from './nats-invalidations.ts'

const settings = { ...natsSettings, NATS_URL: natsUrl.optional(), EVENTS_REPLICAS: eventsReplicas, ...writeSettings }
type CatalogueSettings = ServiceSettings<typeof settings>

type Options<Fields> = {
  name: string
  port: number
  /** An asset's stored fields. */
  fields: z.ZodType<Fields, Fields>
  /** The initial assets. */
  seed: [id: string, fields: Fields][]
  createApp: (deps: CatalogueDeps<Fields>) => App
}

/**
 * A service that stores one kind of data per asset: in memory, or in a replicated key-value bucket if NATS_URL is set.
 */
export function defineCatalogueService<Fields extends object>({
  name,
  port,
  fields,
  seed,
  createApp,
}: Options<Fields>) {
  /** @param shared invalidations shared by all services, in embedded mode */
  async function start(service: Service, settings: CatalogueSettings, shared?: Invalidations): Promise<Address> {
    const { log, health, resources } = service
    const { NATS_URL, EVENTS_REPLICAS: replicas, WRITE_TOKEN: writeToken } = settings
    assertWritesProtected(settings, log)
    const nats = NATS_URL && resources.use(openNatsLink({ ...toNatsAccess({ ...settings, NATS_URL }), ...service }))
    const kv =
      nats && resources.use(createKvStore({ nats, bucket: name, schema: fields, defaults: seed, log, replicas }))
    if (kv)
      health.watch('nats', { state: kv.state, reason: kv.reason, problem: kv.problem, required: () => !kv.isLoaded() })
    const invalidations = shared ?? (nats ? createNatsInvalidations(nats) : createLocalInvalidations())
    const store = kv ?? createMapStore(seed)
    return serve(createApp({ ...service, store, loaded: kv?.loaded, invalidations, writeToken }), service, settings)
  }

  return { name, port, settings, start }
}
