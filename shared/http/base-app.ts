import { Hono, type MiddlewareHandler, type NotFoundHandler } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { z } from 'zod'
import { Readiness } from '../runtime/health.ts'
import type { Service } from '../runtime/service.ts'
import { access } from './access.ts'
import type { AppEnv } from './app-env.ts'
import { docs } from './docs.ts'
import { createErrorHandler, problem } from './errors.ts'
import { nosniff } from './nosniff.ts'
import { describe } from './openapi.ts'
import { OPERATIONS } from './openapi-document.ts'
import { requestContext } from './request-context.ts'

const Alive = z.object({ status: z.literal('alive') }).meta({ id: 'Alive', examples: [{ status: 'alive' }] })
const tags = [OPERATIONS]

/**
 * The routes and the behaviour that every service has; a service adds its own.
 * @param middleware runs before all routes
 */
export function createBaseApp(
  service: Pick<Service, 'name' | 'log' | 'health' | 'metrics' | 'tracing'>,
  ...middleware: MiddlewareHandler<AppEnv>[]
) {
  const { name, log, health, metrics, tracing } = service
  const app = new Hono<AppEnv>()
  app.use(access({ log, metrics }), requestContext(tracing), nosniff(), ...middleware)
  app.notFound(notFound(app))
  app.onError(createErrorHandler())
  app.get(
    '/healthz',
    describe({ operationId: 'getHealth', summary: 'Whether the process is alive', tags, answers: { 200: Alive } }),
    (c) => c.json({ status: 'alive' }),
  )
  app.get(
    '/readyz',
    describe({
      operationId: 'getReadiness',
      summary: "Whether it can serve, and each dependency's state",
      tags,
      answers: { 200: Readiness, 503: Readiness },
    }),
    async (c) => {
      const readiness = await health.readiness()
      return c.json(readiness, readiness.status === 'ready' ? 200 : 503)
    },
  )
  app.get(
    '/metrics',
    describe({
      operationId: 'getMetrics',
      summary: 'Metrics, as Prometheus reads them',
      tags,
      answers: { 200: { type: 'text/plain', example: 'nodejs_eventloop_lag_seconds 0.001\n' } },
    }),
    async (c) => c.body(await metrics.metrics(), 200, { 'content-type': metrics.contentType }),
  )
  app.route('/', docs(app, { name }))
  return app
}

/** A path that is there for other methods is a 405 that names them. Found out here, it costs nothing where a route was found. */
function notFound(app: Hono<AppEnv>): NotFoundHandler<AppEnv> {
  const refuse = methodNotAllowed({
    app: app as never,
    onMethodNotAllowed(c, methods) {
      c.header('allow', methods.join(', '))
      return problem(c as never, 405)
    },
  })
  return async (c) => {
    c.res = problem(c, 404)
    await refuse(c as never, async () => {})
    return c.res
  }
}
