import { z } from 'zod'
import { Circuit, DependencyState } from '../runtime/health.ts'
import { Degraded } from './playback.ts'

/** How a part of the system is, as the edge sees it. */
export const PartStatus = z.object({
  state: DependencyState,
  circuit: Circuit.optional(),
  waiting: z.int().nonnegative().optional().meta({ description: 'Views in the outbox that are not in the log yet' }),
})
export type PartStatus = z.infer<typeof PartStatus>

/** `GET /status` at the edge. `degraded` is what plays can not count on now, by the names that their answers have for it. */
export const SystemStatus = z
  .object({
    status: z.enum(['ready', 'degraded', 'not ready']),
    degraded: z.array(Degraded),
    parts: z.record(z.string(), PartStatus),
    changes: z
      .int()
      .meta({ description: 'Another number than before where assets have changed, so that a list is read again' }),
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
