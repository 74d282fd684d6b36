import { z } from 'zod'

/** `unknown` is a dependency that nobody has asked anything of yet. */
export const DependencyState = z.enum(['up', 'down', 'unknown'])
export type DependencyState = z.infer<typeof DependencyState>

/** Whether a dependency is asked (closed), is not asked for a while (open), or is tried with one call. */
export const Circuit = z.enum(['closed', 'open', 'half-open'])
export type Circuit = z.infer<typeof Circuit>

export const Readiness = z
  .object({
    status: z.enum(['ready', 'not ready', 'stopping']),
    dependencies: z.record(z.string(), DependencyState),
    circuits: z.record(z.string(), Circuit).optional(),
  })
  .meta({ id: 'Readiness', examples: [{ status: 'ready', dependencies: { nats: 'up' } }] })
export type Readiness = z.infer<typeof Readiness>

export type Dependency = {
  state: () => DependencyState | Promise<DependencyState>
  /** Whether the service can do nothing useful without it. */
  required: boolean | (() => boolean)
  circuit?: () => Circuit
}

export type Health = {
  /** Names a dependency whose state `/readyz` shows. */
  watch(name: string, dependency: Dependency): void
  readiness(): Promise<Readiness>
}

/** Ready means: not stopping, and every required dependency is up. */
export function createHealth(stopping: AbortSignal): Health {
  const watched = new Map<string, Dependency>()
  return {
    watch(name, dependency) {
      watched.set(name, dependency)
    },
    async readiness() {
      const states = await Promise.all(
        [...watched].map(async ([name, { state, required }]) => ({
          name,
          required: typeof required === 'function' ? required() : required,
          state: await state(),
        })),
      )
      const circuits = [...watched].flatMap(([name, { circuit }]) => (circuit ? [[name, circuit()] as const] : []))
      const ready = states.every(({ required, state }) => !required || state === 'up')
      return {
        status: stopping.aborted ? 'stopping' : ready ? 'ready' : 'not ready',
        dependencies: Object.fromEntries(states.map(({ name, state }) => [name, state])),
        ...(circuits.length > 0 && { circuits: Object.fromEntries(circuits) }),
      }
    },
  }
}
