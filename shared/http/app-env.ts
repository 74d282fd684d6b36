import type { HttpBindings } from '@hono/node-server'
import type { Logger } from '../runtime/log.ts'
import type { RequestContext } from '../tracing/tracing.ts'

/** The context of every handler. Without a server, as in tests, there are no bindings. */
export type AppEnv = { Bindings: Partial<HttpBindings>; Variables: RequestContext & { log: Logger } }
