import type { HttpBindings } from '@hono/node-server'
import type { Logger } from '../runtime/log.ts'
import type { RequestContext } from '../tracing/tracing.ts'

/** `surface` is set if the request arrived on the operations port. */
type Bindings = Partial<HttpBindings> & { surface?: 'operations' }

/** The context of every handler. Without a server, as in tests, there are no bindings. */
export type AppEnv = { Bindings: Bindings; Variables: RequestContext & { log: Logger } }
