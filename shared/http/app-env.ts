import type { HttpBindings } from '@hono/node-server'
import type { Logger } from '../runtime/log.ts'
import type { RequestContext } from '../tracing/tracing.ts'

/** What every handler finds in its context. Without a server, as in tests, there are no bindings. */
export type AppEnv = { Bindings: Partial<HttpBindings>; Variables: RequestContext & { log: Logger } }
