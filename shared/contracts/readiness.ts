import { z } from 'zod'

/** `unknown` until the dependency is first used. */
export const DependencyState = z.enum(['up', 'down', 'unknown'])
export type DependencyState = z.infer<typeof DependencyState>

/** The state of a circuit breaker. */
export const Circuit = z.enum(['closed', 'open', 'half-open'])
export type Circuit = z.infer<typeof Circuit>

/** `GET /readyz`: whether the service can serve, and the state of its dependencies. */
export const Readiness = z
  .object({
    status: z.enum(['ready', 'not ready', 'stopping']),
    dependencies: z.record(z.string(), DependencyState),
    circuits: z.record(z.string(), Circuit).optional(),
    reasons: z
      .record(z.string(), z.string())
      .optional()
      .meta({ description: 'Why a dependency is not up, in one line for a person' }),
  })
  .meta({ id: 'Readiness', examples: [{ status: 'ready', dependencies: { nats: 'up' } }] })
export type Readiness = z.infer<typeof Readiness>
