import type { Context, MiddlewareHandler } from 'hono'
import type { AppEnv } from '../../shared/http/app-env.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import { isPrefetch } from '../prefetch.ts'
import type { EventLoopDelay } from './event-loop-delay.ts'
import { isRefused, nextLevel, type Priority } from './overload.ts'

/** One error per priority, because a stack trace per refusal would cost more than the refusal. */
const REFUSALS: Record<Priority, UnavailableError> = {
  console: new UnavailableError('overloaded: the console and the docs are refused'),
  reads: new UnavailableError('overloaded: the catalogue, views and live counts are refused'),
  prefetch: new UnavailableError('overloaded: prefetches are refused'),
  plays: new UnavailableError('too many plays in flight'),
}

/** Whoever watches an overloaded process needs these most. */
const EXEMPT = new Set(['/healthz', '/readyz', '/metrics'])

type Deps = {
  delay: Pick<EventLoopDelay, 'ms'>
  /** Called for each refused request. */
  onRefused: (priority: Priority) => void
}

/** Load shedding: under overload, refuses the least important requests immediately with 503. */
export function shedLoad({ delay, onRefused }: Deps): MiddlewareHandler<AppEnv> {
  let level = 0
  let inFlight = 0
  return async function shedLoad(c, next) {
    if (EXEMPT.has(c.req.path)) return next()
    const priority = priorityOf(c)
    level = nextLevel(level, { inFlight, delayMs: delay.ms() })
    if (isRefused(priority, level)) {
      onRefused(priority)
      throw REFUSALS[priority]
    }
    if (priority === 'console' || priority === 'reads') return next()
    inFlight += 1
    try {
      await next()
    } finally {
      inFlight -= 1
    }
  }
}

function priorityOf(c: Context<AppEnv>): Priority {
  const { path } = c.req
  if (path.startsWith('/play/')) return isPrefetch(c) ? 'prefetch' : 'plays'
  return path === '/catalogue' || path === '/live' || path.startsWith('/views/') ? 'reads' : 'console'
}
