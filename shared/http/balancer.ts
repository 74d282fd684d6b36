import { Pool } from 'undici'
import type { Instances } from '../discovery/discovery.ts'

const CONNECTIONS = 64
/** How long an instance that failed is not asked. Then one call tries whether it is back. */
const LEFT_OUT_MS = 1_000

export type Instance = { origin: string; pool: Pool; underWay: number; leftOutUntil: number }

/** Spreads calls over the instances of a service. */
export type Balancer = AsyncDisposable & {
  /**
   * Of two instances drawn at random, the one with fewer calls under way. Those that failed lately are drawn only
   * where there is no other. Undefined where all were tried.
   */
  pick(tried: readonly Instance[]): Instance | undefined
  /** How many instances there are. */
  size(): number
}

export function createBalancer(origins: Instances): Balancer {
  let known: readonly string[] = []
  let all: Instance[] = []

  function current(): Instance[] {
    const now = origins()
    if (now !== known) {
      const next = now.map((origin) => all.find((instance) => instance.origin === origin) ?? createInstance(origin))
      // What is under way with an instance that is gone ends by itself.
      for (const gone of all) if (!next.includes(gone)) void gone.pool.close()
      known = now
      all = next
    }
    return all
  }

  return {
    pick(tried) {
      const untried = tried.length === 0 ? current() : current().filter((instance) => !tried.includes(instance))
      const now = performance.now()
      const well = untried.filter(({ leftOutUntil }) => leftOutUntil <= now)
      const chosen = lessBusy(well.length > 0 ? well : untried)
      if (chosen && chosen.leftOutUntil > 0) chosen.leftOutUntil = now + LEFT_OUT_MS
      return chosen
    },
    size: () => current().length,
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map(({ pool }) => pool.destroy()))
    },
  }
}

function createInstance(origin: string): Instance {
  return { origin, pool: new Pool(origin, { connections: CONNECTIONS }), underWay: 0, leftOutUntil: 0 }
}

/** Leaves an instance out for a while. */
export function leaveOut(instance: Instance): void {
  instance.leftOutUntil = performance.now() + LEFT_OUT_MS
}

/** "The power of two choices": nearly as even as the least busy of all, and none is everybody's choice at once. */
function lessBusy(instances: Instance[]): Instance | undefined {
  if (instances.length < 2) return instances[0]
  const first = Math.floor(Math.random() * instances.length)
  const second = (first + 1 + Math.floor(Math.random() * (instances.length - 1))) % instances.length
  const [one, other] = [instances[first] as Instance, instances[second] as Instance]
  return other.underWay < one.underWay ? other : one
}
