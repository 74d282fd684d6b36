import { Hono, type MiddlewareHandler } from 'hono'
import {
  PLAY_ATTRIBUTES,
  SystemTrace,
  TracedPlays,
  TracedPlaysQuery,
  TraceNotFound,
  TraceParams,
  TraceQuery,
} from '../../shared/contracts/trace.ts'
import type { AppEnv } from '../../shared/http/app-env.ts'
import { limitConcurrency } from '../../shared/http/limit-concurrency.ts'
import { describeOperation, type SecurityScheme } from '../../shared/http/openapi.ts'
import { TRACE_PATH, traceNotFound } from '../../shared/http/trace-route.ts'
import { validate } from '../../shared/http/validate.ts'
import type { KeptTraces } from '../../shared/tracing/kept-traces.ts'
import type { TraceCollector } from './collect.ts'
import type { PlayList } from './plays.ts'

/** Concurrency limit: each trace is requested from every process. */
const MAX_IN_FLIGHT = 20

/** `viewer`: the only user whose plays the caller may see; undefined if the caller may see all plays. */
type ViewerEnv = AppEnv & { Variables: { viewer?: { id: string; plan?: string | undefined } } }

/** Decides who may see which plays. */
export type TraceAccess = {
  /** Guards the route that lists plays, because the list names all users. */
  requireReader: MiddlewareHandler<ViewerEnv>
  /** Guards the route that returns a trace. */
  requireViewer: MiddlewareHandler<ViewerEnv>
  /** The kinds of tokens that each of the two routes accepts; empty if the routes require no token. */
  readers: { list: SecurityScheme[]; trace: SecurityScheme[] }
}

export type TraceDeps = { kept: KeptTraces; collect: TraceCollector; plays: PlayList }

/** The routes for recorded plays and their traces. */
export function createTraceRoutes({ kept, collect, plays, ...access }: TraceDeps & TraceAccess) {
  const { requireReader, requireViewer, readers } = access

  return new Hono<ViewerEnv>()
    .get(
      '/traces',
      describeOperation({
        operationId: 'listTraces',
        summary: 'List the last recorded plays, newest first',
        description: 'Up to 25 plays per second are recorded, plus every play whose `traceparent` has the sampled flag',
        responses: { 200: TracedPlays },
        problems: [400, 429],
        security: readers.list,
      }),
      requireReader,
      limitConcurrency(MAX_IN_FLIGHT, 'lists of traces'),
      validate('query', TracedPlaysQuery),
      async (c) => {
        const { local, ...query } = c.req.valid('query')
        return c.json(local ? plays.local(query) : await plays.all(query))
      },
    )
    .get(
      TRACE_PATH,
      describeOperation({
        operationId: 'getTrace',
        summary: "Get a trace's spans, as recorded by all processes",
        responses: { 200: SystemTrace, 404: TraceNotFound },
        problems: [400, ...(readers.trace.includes('viewerToken') ? [403] : []), 429],
        security: readers.trace,
      }),
      requireViewer,
      limitConcurrency(MAX_IN_FLIGHT, 'traces'),
      validate('param', TraceParams),
      validate('query', TraceQuery),
      async (c) => {
        const { traceId } = c.req.valid('param')
        const isLocal = c.req.valid('query').local !== undefined
        const trace = isLocal ? { traceId, spans: kept.get(traceId), missing: [] } : await collect(traceId)
        return trace.spans.length > 0 && isOf(trace, c.get('viewer')?.id) ? c.json(trace) : traceNotFound(c, traceId)
      },
    )
}

/** Processes that share a port read each other's traces through these routes. A process returns only its own traces. */
export function createLocalTraceRoutes(deps: TraceDeps) {
  const pass: MiddlewareHandler<ViewerEnv> = (_, next) => next()
  const access = { requireReader: pass, requireViewer: pass, readers: { list: [], trace: [] } }
  return new Hono<ViewerEnv>()
    .use((c, next) => {
      c.set('requestId', 'sibling')
      return next()
    })
    .route('/', createTraceRoutes({ ...deps, ...access }))
}

/**
 * Anyone may reuse a trace id, so every play in the trace must belong to `user`. Prefetches and refused plays have no
 * user attribute, so plays are recognized by their paths.
 */
function isOf({ spans }: SystemTrace, user: string | undefined): boolean {
  if (user === undefined) return true
  const plays = spans.filter(({ kind, attributes }) => kind === 'server' && isPlayPath(attributes['url.path']))
  return plays.length > 0 && plays.every(({ attributes }) => attributes[PLAY_ATTRIBUTES.userId] === user)
}

function isPlayPath(path: unknown): boolean {
  return typeof path === 'string' && path.startsWith('/play/asset/')
}
