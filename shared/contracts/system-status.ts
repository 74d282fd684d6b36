import { z } from 'zod'
import { Degraded } from './playback.ts'
import { Circuit, DependencyState } from './readiness.ts'

/** The state of a service or a dependency, as the edge sees it. */
export const ComponentStatus = z.object({
  state: DependencyState,
  circuit: Circuit.optional(),
  waiting: z.int().nonnegative().optional().meta({ description: 'Views in the outbox that are not in the log yet' }),
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
  })
  .meta({
    examples: [
      {
        status: 'degraded',
        degraded: ['reporting'],
        parts: {
          play: { state: 'up' },
          reporting: { state: 'down', circuit: 'open' },
          outbox: { state: 'up', waiting: 0 },
        },
        changes: 0,
      },
    ],
  })
export type SystemStatus = z.infer<typeof SystemStatus>
