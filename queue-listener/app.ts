import { auditWrites } from '../shared/http/audit-log.ts'
import { createBaseApp } from '../shared/http/base-app.ts'
import type { Service } from '../shared/service/service.ts'
import { createDeadLetterRoutes } from './dead-letters.ts'

type Deps = Service & Parameters<typeof createDeadLetterRoutes>[0]

/** Serves the common routes, and the routes for dead letters. */
export function createQueueListenerApp({ deadLetters, writeToken, ...service }: Deps) {
  return createBaseApp(service, { middleware: [auditWrites()] }).route(
    '/',
    createDeadLetterRoutes({ deadLetters, writeToken }),
  )
}
