import { z } from 'zod'
import { Audit } from './audit.ts'
import { Counting } from './counting.ts'
import { Degraded } from './playback.ts'
import { Circuit, DependencyState } from './readiness.ts'

/**
 * `degraded`: the component responds, but is not ready, is stalled, is behind the log, or has an instance that is down.
 */
const ComponentState = z.enum([...DependencyState.options, 'degraded'])

/** The state of one instance of a service. */
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
    .meta({ description: 'What is wrong with the component although it may be up, in one line for a person' }),
  instances: z.array(InstanceStatus).optional().meta({ description: 'All instances, if there is more than one' }),
})
export type ComponentStatus = z.infer<typeof ComponentStatus>

/** `GET /status` at the edge. `degraded` has the same values as in the response to a play. */
export const SystemStatus = z
  .object({
    status: z.enum(['ready', 'degraded', 'not ready']),
    degraded: z.array(Degraded),
    parts: z.record(z.string(), ComponentStatus),
    changes: z
      .int()
      .meta({ description: 'Incremented whenever assets change, so that clients know when to reload the list' }),
    audit: Audit.nullable()
      .optional()
      .meta({ description: 'Accounts for every view; null while reporting is down or behind the log' }),
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
      },
    ],
  })
export type SystemStatus = z.infer<typeof SystemStatus>
