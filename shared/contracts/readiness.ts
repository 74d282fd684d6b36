import { z } from 'zod'
import { Counting } from './counting.ts'

/** `unknown` until the dependency is first used. */
export const DependencyState = z.enum(['up', 'down', 'unknown'])
export type DependencyState = z.infer<typeof DependencyState>

/** The state of a circuit breaker. */
export const Circuit = z.enum(['closed', 'open', 'half-open'])
export type Circuit = z.infer<typeof Circuit>

/**
 * The progress of queue-listener. `stalled`: the lag is over 5 s, and the backlog does not shrink; or counting is
 * suspended, with a `reason`.
 */
export const Forwarding = z
  .object({
    state: z.enum(['running', 'stalled', 'unknown']),
    waiting: z.int().nonnegative().meta({ description: 'Messages in the log that have not been counted for a second' }),
    reason: z.string().optional().meta({ description: 'Why counting is suspended, and how to fix it' }),
  })
  .meta({ id: 'Forwarding', examples: [{ state: 'running', waiting: 0 }] })
export type Forwarding = z.infer<typeof Forwarding>

/**
 * `GET /readyz`: the readiness of the service and the state of its dependencies. A `degraded` service can serve
 * requests, but does not do all of its work.
 */
export const Readiness = z
  .object({
    status: z.enum(['ready', 'degraded', 'not ready', 'stopping']),
    dependencies: z.record(z.string(), DependencyState),
    circuits: z.record(z.string(), Circuit).optional(),
    counting: Counting.optional(),
    forwarding: Forwarding.optional(),
    reasons: z
      .record(z.string(), z.string())
      .optional()
      .meta({ description: 'Why each dependency that is not up has failed, in one line for a person' }),
    problems: z.record(z.string(), z.string()).optional().meta({
      description: 'What is wrong with a dependency that may be up, and how to fix it, in one line for a person',
    }),
  })
  .meta({ id: 'Readiness', examples: [{ status: 'ready', dependencies: { nats: 'up' } }] })
export type Readiness = z.infer<typeof Readiness>
