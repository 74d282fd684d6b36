import { readFileSync } from 'node:fs'
import { Pool } from 'undici'
import type { Instances } from '../discovery/discovery.ts'

const CONNECTIONS = 64

/** How long a failed instance stays ejected. After that, one call probes it. */
const EJECTION_MS = 1_000

export type Instance = { origin: string; pool: Pool; inFlight: number; ejectedUntil: number }

/** Load-balances calls across a service's instances. */
type Balancer = AsyncDisposable & {
  /**
   * Picks an instance by power of two choices: of two random instances, the one with fewer calls in flight. Ejected
   * instances are picked only if there are no others. Returns undefined if all instances have been tried.
   */
  pick(tried: readonly Instance[]): Instance | undefined
  size(): number
  all(): readonly Instance[]
}

/** @param ca path to a PEM file with the certificate authorities for https */
export function createBalancer(origins: Instances, ca?: string): Balancer {
  const connect = ca === undefined ? {} : { connect: { ca: readFileSync(ca) } }
  let knownOrigins: readonly string[] = []
  let instances: Instance[] = []

  function current(): Instance[] {
    const latest = origins()
    if (latest !== knownOrigins) {
      const next = latest.map(
        (origin) => instances.find((instance) => instance.origin === origin) ?? createInstance(origin, connect),
      )
      // close() lets calls in flight finish.
      for (const instance of instances) if (!next.includes(instance)) void instance.pool.close()
      knownOrigins = latest
      instances = next
    }
    return instances
  }

  return {
    pick(tried) {
      const untried = tried.length === 0 ? current() : current().filter((instance) => !tried.includes(instance))
      const now = performance.now()
      const healthy = untried.filter(({ ejectedUntil }) => ejectedUntil <= now)
      const picked = powerOfTwoChoices(healthy.length > 0 ? healthy : untried)
      // Keep the instance ejected for other calls while this one probes it.
      if (picked && picked.ejectedUntil > 0) picked.ejectedUntil = now + EJECTION_MS
      return picked
    },
    size: () => current().length,
    all: current,
    async [Symbol.asyncDispose]() {
      await Promise.all(instances.map(({ pool }) => pool.destroy()))
    },
  }
}

function createInstance(origin: string, connect: Pick<Pool.Options, 'connect'>): Instance {
  return { origin, pool: new Pool(origin, { connections: CONNECTIONS, ...connect }), inFlight: 0, ejectedUntil: 0 }
}

/** Outlier ejection: takes an instance out of rotation temporarily. */
export function eject(instance: Instance): void {
  instance.ejectedUntil = performance.now() + EJECTION_MS
}

/** Balances almost as evenly as choosing the least loaded instance, without causing a thundering herd. */
function powerOfTwoChoices(instances: Instance[]): Instance | undefined {
  if (instances.length < 2) return instances[0]
  const first = Math.floor(Math.random() * instances.length)
  const second = (first + 1 + Math.floor(Math.random() * (instances.length - 1))) % instances.length
  const [a, b] = [instances[first], instances[second]]
  return a && b && b.inFlight < a.inFlight ? b : a
}
