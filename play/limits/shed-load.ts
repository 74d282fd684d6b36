import type { IncomingMessage } from 'node:http'
import type { Context, MiddlewareHandler } from 'hono'
import { METRICS, PROBES } from '../../shared/contracts/probes.ts'
import type { AppEnv } from '../../shared/http/app-env.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import { isOnOperationsPort } from '../operations.ts'
import { isPrefetch } from '../prefetch.ts'
import type { EventLoopDelay } from './event-loop-delay.ts'
import { isRefused, nextLevel, type Priority } from './overload.ts'

/** Created once per priority, because a stack trace for each refusal would cost more than the refusal itself. */
const REFUSALS: Record<Priority, UnavailableError> = {
  console: new UnavailableError('overloaded: requests for the console and the docs are refused'),
  reads: new UnavailableError('overloaded: requests for the catalogue, views and live counts are refused'),
  prefetch: new UnavailableError('too many prefetches in flight'),
  watched: new UnavailableError('overloaded: reports of watch time are refused'),
  plays: new UnavailableError('too many plays in flight'),
}

/**
 * Prefetches have a limit of their own, because a flood of prefetches alone must neither delay plays nor count as
 * overload, which would cause reads to be refused. At 50 ms each, this limit allows 5,000 prefetches per second.
 */
const MAX_PREFETCHES = 250

/** Routes that are never refused: operators and orchestrators need them most while the process is overloaded. */
const EXEMPT = new Set([...PROBES, METRICS])

type Deps = {
  delay: Pick<EventLoopDelay, 'ms'>
  /** Called for each refused request. */
  onRefused: (priority: Priority) => void
}

/** Load shedding: under overload, refuses the least important requests immediately with 503. */
export function shedLoad({ delay, onRefused }: Deps): MiddlewareHandler<AppEnv> {
  let level = 0
  const inFlight = { plays: 0, prefetch: 0, watched: 0 }
  return async function shedLoad(c, next) {
    if (EXEMPT.has(c.req.path)) return next()
    const priority = priorityOf(c)
    // Operators need the console most while play is overloaded.
    if (isOnOperationsPort(c) && (priority === 'console' || priority === 'reads')) return next()
    level = nextLevel(level, { inFlight: inFlight.plays + inFlight.prefetch + inFlight.watched, delayMs: delay.ms() })
    if (isRefused(priority, level) || (priority === 'prefetch' && inFlight.prefetch >= MAX_PREFETCHES)) {
      onRefused(priority)
      throw REFUSALS[priority]
    }
    if (priority === 'console' || priority === 'reads') return next()
    const stopCounting = countOnceReceived(c, (change) => {
      inFlight[priority] += change
    })
    try {
      await next()
    } finally {
      stopCounting()
    }
  }
}

/**
 * Counts a request once it has arrived completely. A request whose body never arrives is not load: it takes only
 * memory, which is limited elsewhere.
 * @returns a function that ends the count
 */
function countOnceReceived({ env }: Context<AppEnv>, count: (change: number) => void): () => void {
  const incoming = env?.incoming
  if (!incoming || !hasBody(incoming) || incoming.complete) {
    count(1)
    return () => count(-1)
  }
  let isCounted = false
  function onEnd(): void {
    isCounted = true
    count(1)
  }
  incoming.once('end', onEnd)
  return () => {
    incoming.off('end', onEnd)
    if (isCounted) count(-1)
  }
}

/** Returns true if the request has a body. Most plays have none, so they are counted immediately. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function priorityOf(c: Context<AppEnv>): Priority {
  const { path } = c.req
  if (path.startsWith('/play/watched/')) return 'watched'
  if (path.startsWith('/play/')) return isPrefetch(c) ? 'prefetch' : 'plays'
  return path === '/catalogue' || path === '/live' || path.startsWith('/views/') ? 'reads' : 'console'
}
