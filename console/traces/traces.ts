import type { ServiceClient } from '../../shared/client/service-client.ts'
import type { Tracing } from '../../shared/tracing/tracing.ts'
import { createTraceCollector } from './collect.ts'
import { createPlayList } from './plays.ts'
import type { TraceDeps } from './routes.ts'

type Client = Pick<ServiceClient, 'name' | 'getAll'>

type Clients = {
  /** The clients for all services, by name. */
  services: Record<string, Client> & { play: Client }
  /** The client for the processes that share this process's port. */
  siblings?: Client | undefined
}

/** The traces from this process and from all other known processes. */
export function createTraces({ kept }: Pick<Tracing, 'kept'>, { services, siblings }: Clients): TraceDeps {
  const siblingClients = siblings ? [siblings] : []
  return {
    kept,
    collect: createTraceCollector({ kept, clients: [...Object.values(services), ...siblingClients] }),
    plays: createPlayList({ kept, plays: [services.play, ...siblingClients] }),
  }
}
