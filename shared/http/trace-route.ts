import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { Trace, TraceNotFound, TraceParams } from '../contracts/trace.ts'
import type { Tracing } from '../tracing/tracing.ts'
import type { AppEnv } from './app-env.ts'
import { describeOperation } from './openapi.ts'
import { OPERATIONS } from './openapi-document.ts'
import { validate } from './validate.ts'

export const TRACE_PATH = '/traces/:traceId'

type Deps = {
  tracing: Pick<Tracing, 'kept'>
  /** Protects the user ids in traces, if the service records any. */
  requireReader?: MiddlewareHandler<AppEnv>
}

/** `GET /traces/:traceId`: what this process has recorded of a trace. */
export function createTraceRoute({ tracing, requireReader }: Deps) {
  // `on` with a list of paths takes zero or more handlers; `get` needs at least one.
  return new Hono<AppEnv>().on('GET', [TRACE_PATH], ...(requireReader ? [requireReader] : [])).get(
    TRACE_PATH,
    describeOperation({
      operationId: 'getTrace',
      summary: 'The spans of a trace that this process has recorded',
      tags: [OPERATIONS],
      responses: { 200: Trace, 404: TraceNotFound },
      problems: [400],
      namesUsers: requireReader !== undefined,
    }),
    validate('param', TraceParams),
    (c) => {
      const { traceId } = c.req.valid('param')
      const spans = tracing.kept.get(traceId)
      return spans.length > 0 ? c.json({ traceId, spans } satisfies Trace) : traceNotFound(c, traceId)
    },
  )
}

export function traceNotFound(c: Context<AppEnv>, traceId: string) {
  const body: TraceNotFound = { traceId, status: 'Trace not found', requestId: c.get('requestId') }
  return c.json(body, 404)
}
