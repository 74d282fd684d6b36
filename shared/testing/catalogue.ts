import type { Hono } from 'hono'
import type { CatalogueDeps } from '../catalogue/catalogue-app.ts'
import type { AppEnv } from '../http/app-env.ts'

/** A catalogue service under test. */
export type Catalogue<Fields> = {
  createApp: (deps: CatalogueDeps<Fields>) => Hono<AppEnv, never>
  name: string
  /** The path prefix of the service's routes. */
  path: string
  /** Two sets of valid fields. */
  examples: [Fields, Fields]
}
