import type { RequestIdVariables } from 'hono/request-id'
import type { Logger } from '../runtime/log.ts'

/** What every handler finds in its context. */
export type AppEnv = { Variables: RequestIdVariables & { log: Logger } }
