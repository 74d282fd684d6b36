import { type Context, Hono, type MiddlewareHandler } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { describeRoute } from 'hono-openapi'
import { z } from 'zod'
import { Controls, withoutControls } from '../../shared/contracts/controls.ts'
import { Problem } from '../../shared/contracts/status.ts'
import type { AppEnv } from '../../shared/http/app-env.ts'
import { clientAddressOf } from '../../shared/http/client-address.ts'
import { refuseCrossOrigin } from '../../shared/http/cross-origin.ts'
import { problem } from '../../shared/http/errors.ts'
import { limitConcurrency } from '../../shared/http/limit-concurrency.ts'
import { describeOperation } from '../../shared/http/openapi.ts'
import { headerOf } from '../../shared/http/request-context.ts'
import { isLoopback } from '../../shared/runtime/loopback.ts'
import type { ControlsProxy } from './proxy.ts'

/** Concurrency limit: each request waits for the supervisor. */
const MAX_IN_FLIGHT = 20
const NO_SUPERVISOR =
  'Controls are not available here: npm start offers them for the processes that it runs, provided that only this machine can reach the console.'
const NOT_LOCAL = 'Controls are available only to browsers on the machine that runs npm start.'

/** Headers that a reverse proxy adds. Behind a proxy, all clients appear to have the proxy's address. */
const FORWARDED = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip']

const Errors = z.object({ errors: Problem.shape.errors })

/** The POST routes belong to `npm start`, which documents them and validates their requests. */
const undocumented = describeRoute({ hide: true })

/**
 * `GET /controls` lists the processes that `npm start` runs; `POST /controls/…` kills, suspends and restarts them. The
 * routes accept requests only from clients on this machine, and never from a page on another origin, even if
 * CORS_ORIGINS lists that origin.
 * @param proxy undefined if the processes have no supervisor
 */
export function createControlRoutes(proxy: Pick<ControlsProxy, 'read' | 'post'> | undefined) {
  const authorizationOf = (c: Context<AppEnv>) => headerOf(c, 'authorization')

  const localOnly: MiddlewareHandler<AppEnv> = async (c, next) =>
    isLocal(c) ? next() : problem(c, 403, [{ path: 'controls', message: NOT_LOCAL }])

  async function read(c: Context<AppEnv>): Promise<Controls> {
    if (!proxy) return withoutControls('off', NO_SUPERVISOR)
    return isLocal(c) ? proxy.read(authorizationOf(c)) : withoutControls('off', NOT_LOCAL)
  }

  async function forward(c: Context<AppEnv>): Promise<Response> {
    if (!proxy) return problem(c, 404, [{ path: 'controls', message: NO_SUPERVISOR }])
    const { pathname, search } = new URL(c.req.url)
    const { status, body } = await proxy.post(`${pathname}${search}`, authorizationOf(c))
    if (status < 400) return c.json(body, toStatus(status))
    return problem(c, toStatus(status), Errors.safeParse(body).data?.errors)
  }

  const app = new Hono<AppEnv>().get(
    '/controls',
    describeOperation({
      operationId: 'getControls',
      summary: 'Get the processes that npm start runs, and the available controls',
      description:
        'Send the token from the output of `npm start` as a bearer token. With it, `POST /controls/…` kills, suspends and restarts processes: see docs/operating.md',
      responses: { 200: Controls },
      problems: [429],
    }),
    async (c) => c.json(await read(c)),
  )
  for (const path of ['/controls/:name', '/controls/:name/:action']) {
    const limit = limitConcurrency(MAX_IN_FLIGHT, 'controls')
    app.post(path, undocumented, localOnly, refuseCrossOrigin(), limit, forward)
  }
  return app
}

/**
 * Returns true if the client is on this machine and addresses the edge by a loopback name. The `Host` check prevents
 * DNS rebinding even if ALLOWED_HOSTS allows other names.
 */
function isLocal(c: Context<AppEnv>): boolean {
  const name = (headerOf(c, 'host') ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  return (
    isLoopback(clientAddressOf(c)) && isLoopback(name) && !FORWARDED.some((header) => headerOf(c, header) !== undefined)
  )
}

function toStatus(status: number): ContentfulStatusCode {
  const allowed = [200, 202, 400, 401, 404, 409, 503] as const
  return allowed.find((each) => each === status) ?? 503
}
