import { type Context, Hono, type MiddlewareHandler, type NotFoundHandler } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { z } from 'zod'
import { LIVENESS, METRICS, PROBES, READINESS } from '../contracts/probes.ts'
import { Readiness } from '../contracts/readiness.ts'
import { canServe, type Health } from '../service/health.ts'
import type { Service } from '../service/service.ts'
import { accessLog } from './access-log.ts'
import type { AppEnv } from './app-env.ts'
import { type IsTrustedOrigin, refuseCrossOrigin } from './cross-origin.ts'
import { docs } from './docs.ts'
import { createErrorHandler, problem } from './errors.ts'
import { describeOperation } from './openapi.ts'
import { OPERATIONS } from './openapi-document.ts'
import { requestContext } from './request-context.ts'
import { createTraceRoute } from './trace-route.ts'

const Alive = z.object({ status: z.literal('alive') }).meta({ id: 'Alive', examples: [{ status: 'alive' }] })

const tags = [OPERATIONS]

type Options = {
  /** Origins whose pages may send requests that change state, besides the service's origin. Default: none. */
  isTrustedOrigin?: IsTrustedOrigin
  /** Runs before all routes. */
  middleware?: MiddlewareHandler<AppEnv>[]
  /** Paths of requests that get no span, besides probes and metrics. */
  untraced?: readonly string[]
  /** Requests for which `/readyz` shows only the overall status, without the dependencies. Default: none. */
  hidesDetails?: (c: Context<AppEnv>) => boolean
  /** Default: the readiness that the service's health reports. */
  readiness?: Health['readiness'] | undefined
  /** The route `GET /traces/:traceId`. Default: a route that requires no token. */
  traces?: Hono<AppEnv>
}

/** The routes and middleware that all services share. Each service adds its own routes. */
export function createBaseApp(
  service: Pick<Service, 'name' | 'log' | 'health' | 'metrics' | 'tracing'>,
  options: Options = {},
) {
  const { name, log, health, metrics, tracing } = service
  const { isTrustedOrigin, middleware = [], untraced = [], hidesDetails = () => false } = options
  const { readiness: readReadiness = health.readiness, traces = createTraceRoute({ tracing }) } = options
  const app = new Hono<AppEnv>()
  app.use(accessLog({ log, metrics }), requestContext({ tracing, untraced: [...PROBES, METRICS, ...untraced] }))
  app.use(...middleware, refuseCrossOrigin(isTrustedOrigin))
  app.notFound(notFound(app))
  app.onError(createErrorHandler())

  app.get(
    LIVENESS,
    describeOperation({
      operationId: 'getHealth',
      summary: 'Liveness probe',
      tags,
      responses: { 200: Alive },
    }),
    (c) => c.json({ status: 'alive' }),
  )
  app.get(
    READINESS,
    describeOperation({
      operationId: 'getReadiness',
      summary: 'Readiness probe, with the state of each dependency',
      tags,
      responses: { 200: Readiness, 503: Readiness },
    }),
    async (c) => {
      const readiness = await readReadiness()
      const shown = hidesDetails(c) ? { status: readiness.status, dependencies: {} } : readiness
      return c.json(shown, canServe(readiness) ? 200 : 503)
    },
  )
  app.get(
    METRICS,
    describeOperation({
      operationId: 'getMetrics',
      summary: 'Metrics in Prometheus text format',
      tags,
      responses: { 200: { type: 'text/plain', example: 'nodejs_eventloop_lag_seconds 0.001\n' } },
    }),
    async (c) => c.body(await metrics.metrics(), 200, { 'content-type': metrics.contentType }),
  )
  app.route('/', traces)
  app.route('/', docs(app, { name }))
  return app
}

/**
 * Returns 405 if the path exists for other methods. Runs only if no route matches, so it costs other requests nothing.
 */
function notFound(app: Hono<AppEnv>): NotFoundHandler<AppEnv> {
  const checkMethods = methodNotAllowed<AppEnv>({
    app,
    onMethodNotAllowed(c, methods) {
      c.header('allow', methods.join(', '))
      return problem(c, 405)
    },
  })
  return async (c: Context<AppEnv>) => {
    c.res = problem(c, 404)
    await checkMethods(c, async () => {})
    return c.res
  }
}
