import type { Context, MiddlewareHandler } from 'hono'
import { MAX_ID_LENGTH } from '../../shared/contracts/ids.ts'
import { PROBES } from '../../shared/contracts/probes.ts'
import type { AppEnv } from '../../shared/http/app-env.ts'
import { clientAddressOf, isFromProxy } from '../../shared/http/client-address.ts'
import { tooManyRequests } from '../../shared/http/errors.ts'
import { appendResponseHeader } from '../../shared/http/request-context.ts'
import { type Networks, toClient } from '../../shared/runtime/ip-address.ts'
import type { Logger } from '../../shared/runtime/log.ts'
import { createLogThrottle } from '../../shared/runtime/log-throttle.ts'
import type { PlayEnv } from '../play-env.ts'
import { createGcra, type Rate } from './gcra.ts'

/** The response headers for a rate limit (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/). */
export const RATE_LIMIT_HEADERS = ['RateLimit', 'RateLimit-Policy']

export type LimitOptions = {
  rate: Rate
  log: Logger
  trustedProxies?: Networks | undefined
  /** Called for each refused request. */
  onRefused: () => void
}

/** Limits the requests from each client, which is an IPv4 address or an IPv6 /64 network. */
export function limitClients({ trustedProxies, ...options }: LimitOptions): MiddlewareHandler<AppEnv> {
  const refuseExcess = createLimit('client', options)
  return async function limitClients(c, next) {
    // Direct probes are exempt, because an orchestrator sends them, and would restart the process after a refusal.
    if (PROBES.has(c.req.path) && !(trustedProxies && isFromProxy(c, trustedProxies))) return next()
    return refuseExcess(c, toClient(clientAddressOf(c, trustedProxies))) ?? next()
  }
}

/**
 * Limits each user's plays. Without a verified token, anyone can claim any id. The limit then applies to each pair of
 * user and client, so that nobody can use up another client's plays.
 */
export function limitUsers(options: LimitOptions): MiddlewareHandler<PlayEnv> {
  const refuseExcess = createUserLimit('user', options)
  return async function limitUsers(c, next) {
    return refuseExcess(c, c.get('viewer')?.id ?? c.req.param('userId') ?? '') ?? next()
  }
}

/** Limits each user's reports of watch time. Reports do not count towards the limit for plays. */
export function limitReports(options: LimitOptions): (c: Context<PlayEnv>, userId: string) => Response | undefined {
  return createUserLimit('watched', options)
}

function createUserLimit(name: string, { trustedProxies, ...options }: LimitOptions) {
  const refuseExcess = createLimit(name, options)
  return (c: Context<PlayEnv>, userId: string) => {
    // Bounds the length of the keys. Validation refuses this request anyway, before any work is done.
    if (userId.length > MAX_ID_LENGTH) return undefined
    return refuseExcess(c, c.get('viewer') ? userId : `${toClient(clientAddressOf(c, trustedProxies))} ${userId}`)
  }
}

/** @returns a function that responds with 429 if the limit refuses the key, and otherwise returns undefined */
function createLimit(name: string, { rate, log, onRefused }: Omit<LimitOptions, 'trustedProxies'>) {
  const take = createGcra(rate)
  const throttle = createLogThrottle()
  const policy = `"${name}";q=${rate.count};w=${rate.periodMs / 1_000}`
  return (c: Context<AppEnv>, key: string) => {
    const { allowed, remaining, waitMs } = take(key)
    appendResponseHeader(c, 'RateLimit-Policy', policy)
    appendResponseHeader(c, 'RateLimit', `"${name}";r=${remaining};t=${Math.ceil(waitMs / 1_000)}`)
    if (allowed) return undefined
    onRefused()
    const times = throttle('refused')
    if (times) log.warn({ limit: name, times }, 'rate limit exceeded')
    return tooManyRequests(c, waitMs)
  }
}
