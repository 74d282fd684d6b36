import { type Context, Hono } from 'hono'
import { z } from 'zod'
import { AssetId, UserId } from '../../../shared/contracts/ids.ts'
import type { OwnCommand } from './commands.ts'
import type { ExpiredUrl } from './expired-url.ts'
import type { NaiveCount } from './naive-counter.ts'
import type { Poison } from './poison.ts'
import type { Prefetches } from './prefetches.ts'
import { refuse, refuseQuery } from './refusals.ts'
import type { TourLease, TourLeaseRequest } from './tour-lease.ts'

const Name = z.string().regex(/^[\w-]{1,64}$/)
const whole = (min: number, max: number) => z.coerce.number().pipe(z.int().min(min).max(max))

const queries = {
  simulate: z.object({ rate: whole(1, 200).default(20), seconds: whole(1, 300).default(30) }),
  prefetch: z.object({ asset: AssetId, user: UserId, count: whole(1, 1_000) }),
  naive: z.object({ run: Name, views: whole(0, 100).default(0) }),
  tour: z.object({ holder: Name, step: Name, seconds: whole(0, 60).default(15) }),
  expire: z.object({ url: z.string().max(4_096).optional() }),
}

/** The targets of these controls. A control without a target is not offered. */
export type Tasks = {
  seed: OwnCommand
  simulate: OwnCommand
  /** The arguments that make `seed` and `simulate` use this system. */
  commandArgs: string[]
  prefetch: (flood: z.output<typeof queries.prefetch>) => Promise<Prefetches>
  tour: (request: TourLeaseRequest) => TourLease
  expire?: ((url?: string) => Promise<ExpiredUrl | undefined>) | undefined
  poison?: (() => Promise<Poison>) | undefined
  naive?: ((run: string, views: number) => NaiveCount) | undefined
}

/** Creates the routes for the controls that do not act on a single process. */
export function createTaskRoutes({ seed, simulate, commandArgs, prefetch, tour, expire, poison, naive }: Tasks): Hono {
  return new Hono()
    .post('/seed', (c) => start(c, seed, commandArgs))
    .post('/simulate', (c) => {
      const query = queries.simulate.safeParse(c.req.query())
      if (!query.success) return refuseQuery(c, query.error)
      const { rate, seconds } = query.data
      return start(c, simulate, [...commandArgs, '--rate', String(rate), '--views', String(rate * seconds)])
    })
    .post('/simulate/stop', (c) => {
      simulate.stop()
      return c.json({ status: 'ok' })
    })
    .post('/prefetch', async (c) => {
      const query = queries.prefetch.safeParse(c.req.query())
      return query.success ? c.json(await prefetch(query.data)) : refuseQuery(c, query.error)
    })
    .post('/tour', (c) => {
      const query = queries.tour.safeParse(c.req.query())
      return query.success ? c.json(tour(query.data)) : refuseQuery(c, query.error)
    })
    .post('/expire', async (c) => {
      const query = queries.expire.safeParse(c.req.query())
      if (!query.success) return refuseQuery(c, query.error)
      const expired = await expire?.(query.data.url)
      return expired ? c.json(expired) : refuse(c, 409, 'this is not a URL that play signed for the CDN')
    })
    .post('/poison', async (c) => c.json((await poison?.()) ?? {}))
    .post('/naive', (c) => {
      const query = queries.naive.safeParse(c.req.query())
      return query.success ? c.json(naive?.(query.data.run, query.data.views) ?? {}) : refuseQuery(c, query.error)
    })
}

function start(c: Context, command: OwnCommand, args: string[]) {
  if (!command.run(args)) return refuse(c, 409, `${command.status().command} is still running`)
  return c.json({ status: 'ok', command: command.status() }, 202)
}
