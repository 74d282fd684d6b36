import { z } from 'zod'
import { Counting } from './counting.ts'

/** `unknown` until the dependency is first used. */
export const DependencyState = z.enum(['up', 'down', 'unknown'])
export type DependencyState = z.infer<typeof DependencyState>

/** A circuit breaker's state. */
export const Circuit = z.enum(['closed', 'open', 'half-open'])
export type Circuit = z.infer<typeof Circuit>

/**
 * queue-listener's progress. `stalled`: the lag exceeds 5 s and the backlog is not shrinking, or counting is suspended
 * for the given `reason`.
 */
export const Forwarding = z
  .object({
    state: z.enum(['running', 'stalled', 'unknown']),
    waiting: z
      .int()
      .nonnegative()
      .meta({ description: 'Messages in the log that are not counted yet; 0 while the lag is below a second' }),
    reason: z.string().optional().meta({ description: 'Why counting is suspended, and how to fix it' }),
  })
  .meta({ id: 'Forwarding', examples: [{ state: 'running', waiting: 0 }] })
export type Forwarding = z.infer<typeof Forwarding>

/** What this queue-listener process has delivered to reporting. */
export const Delivery = z
  .object({
    batches: z.int().nonnegative(),
    views: z.int().nonnegative(),
    p99Ms: z.number().nonnegative().nullable().meta({
      description:
        '99th percentile of the time that reporting took per batch, in the last 5 s; null if there was no batch',
    }),
    lagMs: z.number().nonnegative().nullable().meta({
      description: 'How long the oldest uncounted message has been waiting; null if unknown',
    }),
  })
  .meta({ id: 'Delivery', examples: [{ batches: 12, views: 340, p99Ms: 4.2, lagMs: 0 }] })
export type Delivery = z.infer<typeof Delivery>

/**
 * `GET /readyz`: the service's readiness and the state of its dependencies. A `degraded` service can serve requests,
 * but cannot do all of its work.
 */
export const Readiness = z
  .object({
    status: z.enum(['ready', 'degraded', 'not ready', 'stopping']),
    dependencies: z.record(z.string(), DependencyState),
    circuits: z.record(z.string(), Circuit).optional(),
    counting: Counting.optional(),
    forwarding: Forwarding.optional(),
    delivery: Delivery.optional(),
    startedAt: z.iso
      .datetime()
      .optional()
      .meta({ description: 'When the process started, which distinguishes a restart from a recovery' }),
    reasons: z
      .record(z.string(), z.string())
      .optional()
      .meta({ description: 'For each dependency that is not up, the reason in one human-readable line' }),
    problems: z.record(z.string(), z.string()).optional().meta({
      description:
        'For each dependency with a problem, what is wrong and how to fix it, in one human-readable line. The dependency may still be up',
    }),
  })
  .meta({ id: 'Readiness', examples: [{ status: 'ready', dependencies: { nats: 'up' } }] })
export type Readiness = z.infer<typeof Readiness>
