import { z } from 'zod'
import { Audit } from './audit.ts'
import { Counting } from './counting.ts'
import { Degraded } from './playback.ts'
import { Circuit, DependencyState } from './readiness.ts'

/**
 * `degraded`: the component responds, but is not ready, is stalled, is behind the log, or has an instance that is down.
 */
const ComponentState = z.enum([...DependencyState.options, 'degraded'])

/** The state of one service instance. */
export const InstanceStatus = z.object({ url: z.string(), state: ComponentState })
export type InstanceStatus = z.infer<typeof InstanceStatus>

/** The state of a service or a dependency, as the edge sees it. */
export const ComponentStatus = z.object({
  state: ComponentState,
  circuit: Circuit.optional(),
  waiting: z.int().nonnegative().optional().meta({
    description: 'Size of the backlog: views in the outbox; for queue-listener, messages that are not counted yet',
  }),
  stalled: z.boolean().optional().meta({ description: 'True while queue-listener makes no progress' }),
  reason: z.string().optional().meta({ description: 'Why counting is suspended, and how to fix it' }),
  counting: Counting.optional(),
  problem: z
    .string()
    .optional()
    .meta({ description: 'A problem with a component that may still be up, in one human-readable line' }),
  instances: z.array(InstanceStatus).optional().meta({ description: 'All instances, if there is more than one' }),
})
export type ComponentStatus = z.infer<typeof ComponentStatus>

/** The calls between two components in the last 5 seconds. */
export const Link = z.object({
  from: z.string(),
  to: z.string(),
  calls: z.int().nonnegative().meta({ description: 'Calls in the second that ended at `at`' }),
  rate: z.number().nonnegative().meta({ description: 'Calls per second' }),
  p99Ms: z
    .number()
    .nonnegative()
    .nullable()
    .meta({ description: 'Estimated 99th percentile of the call duration; null if there were no calls' }),
  batch: z.number().positive().optional().meta({ description: 'Mean number of plays or views per call' }),
  cached: z.number().min(0).max(1).optional().meta({ description: 'Share of the reads that needed no call' }),
})
export type Link = z.infer<typeof Link>

/** The calls along a play's path, summed over all of this edge's processes. A cache hit is not a call. */
export const Traffic = z.object({
  at: z.iso.datetime(),
  processes: z.int().positive().meta({ description: 'Number of processes that serve this edge' }),
  edges: z.array(Link).meta({ description: 'The links between components, as edges of a graph' }),
})
export type Traffic = z.infer<typeof Traffic>

/** `GET /status` at the edge. `degraded` lists the same values as the response to a play. */
export const SystemStatus = z
  .object({
    status: z.enum(['ready', 'degraded', 'not ready']),
    degraded: z.array(Degraded),
    parts: z.record(z.string(), ComponentStatus),
    changes: z
      .int()
      .meta({ description: 'Incremented whenever assets change; a new value tells clients to reload the list' }),
    audit: Audit.nullable()
      .optional()
      .meta({ description: 'Accounts for every view; null while reporting is down or behind the log' }),
    traffic: Traffic.optional().meta({ description: 'Absent in the first second after startup' }),
  })
  .meta({
    examples: [
      {
        status: 'degraded',
        degraded: ['reporting'],
        parts: {
          play: { state: 'up' },
          reporting: { state: 'degraded', circuit: 'closed', counting: { state: 'replaying', progress: 0.4 } },
          outbox: { state: 'up', waiting: 0 },
        },
        changes: 0,
        audit: null,
        traffic: {
          at: '2026-11-22T12:04:31.000Z',
          processes: 1,
          edges: [{ from: 'play', to: 'reporting', calls: 9, rate: 8.4, p99Ms: 3.2, batch: 12.5 }],
        },
      },
    ],
  })
export type SystemStatus = z.infer<typeof SystemStatus>
