import type { ServiceClient } from '../../shared/client/service-client.ts'
import type { Tracing } from '../../shared/tracing/tracing.ts'
import { createTraceCollector } from './collect.ts'
import { createPlayList } from './plays.ts'
import type { TraceDeps } from './routes.ts'

type Client = Pick<ServiceClient, 'name' | 'getAll'>

type Clients = {
  /** Of all services, by name. */
  services: Record<string, Client> & { play: Client }
  /** Of the processes that share the port of this one. */
  siblings?: Client | undefined
}

/** The traces of this process, and of those that it knows. */
export function createTraces({ kept }: Pick<Tracing, 'kept'>, { services, siblings }: Clients): TraceDeps {
  const more = siblings ? [siblings] : []
  return {
    kept,
    collect: createTraceCollector({ kept, clients: [...Object.values(services), ...more] }),
    plays: createPlayList({ kept, plays: [services.play, ...more] }),
  }
}
