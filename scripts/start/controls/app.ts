import { Hono } from 'hono'
import { z } from 'zod'
import { type ControlledProcess, type Controls, withoutControls } from '../../../shared/contracts/controls.ts'
import { toReason } from '../../../shared/runtime/reason.ts'
import type { Supervised } from '../supervised.ts'
import type { CheckpointControl } from './checkpoint.ts'
import { readBack, toAct } from './process-actions.ts'
import { refuse, refuseQuery } from './refusals.ts'
import { createTaskRoutes, type Tasks } from './task-routes.ts'

/** The maximum duration of a fault, so that the fault ends even if the page that caused it is closed. */
const MAX_FAULT_S = 60
/** How long a killed process stays down by default: as long as after a crash. */
const CRASH_S = 1
/** The limit for the edge is shorter, because a hung edge cannot forward the request that resumes it. */
const EDGE_HANG_S = 10
/** Delays actions on the edge, so that it can send the response first. */
const FAREWELL_MS = 50

const LOCKED = 'Open the address that npm start printed: it ends with #controls= and a token.'

const Fault = z.object({ seconds: z.coerce.number().pipe(z.number().min(0.5).max(MAX_FAULT_S)).optional() })

/** The targets of the controls. A control without a target is not offered. */
export type ControlDeps = Tasks & {
  /** Returns true if the `authorization` header contains the token. */
  isAllowed: (authorization: string | undefined) => boolean
  /** Why processes cannot be controlled; undefined if they can. */
  offReason?: string | undefined
  processes: readonly Supervised[]
  /** The processes that cannot be suspended as a whole. */
  unhangable: ReadonlySet<string>
  /** Returns true for a process that forwards requests to the controls. */
  isEdge: (name: string) => boolean
  checkpoint?: CheckpointControl | undefined
}

/** The API through which the console and the tour control the processes that `npm start` runs. */
export function createControlsApp(deps: ControlDeps): Hono {
  const { processes, seed, simulate, isAllowed, offReason, unhangable, isEdge, checkpoint } = deps
  const can = abilitiesOf(deps)

  const read = async (): Promise<Controls> => ({
    state: 'on',
    reason: null,
    can,
    processes: await Promise.all(processes.map(async (process) => toControlled(await process.status()))),
    commands: { seed: seed.status(), simulate: simulate.status() },
  })

  const toControlled = (status: Awaited<ReturnType<Supervised['status']>>): ControlledProcess => ({
    ...status,
    actions: ['kill', ...(unhangable.has(status.name) ? [] : ['hang']), 'restart'],
  })

  const defaultSeconds = (name: string, action: string) => {
    if (action !== 'hang') return CRASH_S
    return isEdge(name) ? EDGE_HANG_S : MAX_FAULT_S
  }

  const app = new Hono()
  app.get('/controls', async (c) => {
    const hasToken = isAllowed(c.req.header('authorization'))
    if (offReason !== undefined) return c.json({ ...withoutControls('off', offReason), can: hasToken ? can : [] })
    return c.json(hasToken ? await read() : withoutControls('locked', LOCKED))
  })
  app.use(async (c, next) => (isAllowed(c.req.header('authorization')) ? next() : refuse(c, 401, LOCKED)))
  app.use('/controls/:name/:action?', async (c, next) => {
    const ability = c.req.param('action') ?? c.req.param('name') ?? ''
    if (can.includes(ability) || ability === 'stop') return next()
    return refuse(c, 409, offReason ?? `${ability} is not possible in this system`)
  })
  app.route('/controls', createTaskRoutes(deps))
  app.post('/controls/:service/:action', async (c) => {
    const { service, action } = c.req.param()
    const target = processes.find(({ name }) => name === service)
    if (!target) return refuse(c, 404, `npm start does not run a process named ${service}`)
    if (action === 'hang' && unhangable.has(service)) return refuse(c, 409, `${service} has several processes`)
    const query = Fault.safeParse(c.req.query())
    if (!query.success) return refuseQuery(c, query.error)
    const { seconds = defaultSeconds(service, action) } = query.data
    const act = toAct(target, action, seconds * 1_000, checkpoint)
    if (!act) return refuse(c, 404, `there is no control ${action} for ${service}`)
    if (isEdge(service)) {
      setTimeout(act, FAREWELL_MS)
      return c.json({ status: 'ok' }, 202)
    }
    const { starts } = await target.status()
    if (!(await act())) return refuse(c, 409, `${service} is down`)
    return c.json({ status: 'ok', process: toControlled(await readBack(target, action, starts)) })
  })
  app.notFound((c) => refuse(c, 404, 'there is no such control'))
  app.onError((error, c) => refuse(c, 503, toReason(error)))
  return app
}

function abilitiesOf({ offReason, expire, poison, naive, checkpoint }: ControlDeps): string[] {
  const always = ['seed', 'prefetch', 'tour', ...(expire ? ['expire'] : [])]
  if (offReason !== undefined) return always
  return [
    ...['kill', 'hang', 'continue', 'restart', 'simulate'],
    ...always,
    ...(poison ? ['poison'] : []),
    ...(naive ? ['naive'] : []),
    ...(checkpoint ? ['replay', 'restore', 'keep'] : []),
  ]
}
