import type { InstanceReadiness } from '../shared/client/instance-readiness.ts'
import type { ServiceClient } from '../shared/client/service-client.ts'
import type { Instances } from '../shared/discovery/discovery.ts'
import { sleep } from '../shared/runtime/sleep.ts'

/** How often to check the stores while there is more than one instance. */
const CHECK_MS = 1_000

/** How long an instance that does not respond is assumed to be up with the same store. */
const FORGET_MS = 5_000

type StoreOf = { url: string; store: string | undefined; at: number }

/** Thrown if the instances of reporting use different stores. */
export class StoresDifferError extends Error {
  override name = 'StoresDifferError'

  constructor(instances: readonly { url: string; store: string | undefined }[]) {
    const list = instances.map(({ url, store }) => `${url} (${store})`).join(', ')
    super(
      `the reporting instances use different stores: ${list}. Run only one instance, or set the same DATABASE_URL for all of them`,
    )
  }
}

/** Verifies that all instances of reporting share one store. */
export type StoreCheck = {
  /** The instances that may receive batches: those that shared one store at the last check. */
  instances: Instances
  /** @throws StoresDifferError */
  assertOneStore(): Promise<void>
  /** Resolves once the instances no longer share a store, or `signal` aborts. */
  untilDifferent(signal: AbortSignal): Promise<void>
}

type Deps = {
  knownInstances: Instances
  client: Pick<ServiceClient, 'instances'>
  checkMs?: number
  now?: () => number
}

/**
 * An instance that does not respond is assumed to keep its store for a while, so that a slow response does not move
 * counting to another store. An instance from the previous release has no store id, and is not compared.
 */
export function createStoreCheck({
  knownInstances,
  client,
  checkMs = CHECK_MS,
  now = () => performance.now(),
}: Deps): StoreCheck {
  let remembered: StoreOf[] = []
  let verified: readonly string[] = []

  /** Merges the responses with the remembered stores of instances that did not respond. */
  function merge(responses: InstanceReadiness[]): StoreOf[] {
    return responses.flatMap(({ url, readiness }) => {
      if (readiness) return { url, store: readiness.counting?.store, at: now() }
      return remembered.filter((earlier) => earlier.url === url && now() - earlier.at < FORGET_MS)
    })
  }

  async function assertOneStore(): Promise<void> {
    const origins = knownInstances()
    // A single instance needs no check, and it may have a new store after a restart.
    if (origins.length < 2) {
      verified = origins
      return
    }
    remembered = merge(await client.instances())
    const named = remembered.filter(({ store }) => store !== undefined)
    const isOne = new Set(named.map(({ store }) => store)).size < 2
    verified = isOne ? remembered.map(({ url }) => url) : []
    if (!isOne) throw new StoresDifferError(named)
  }

  return {
    instances() {
      const origins = knownInstances()
      return origins.length < 2 ? origins : verified
    },
    assertOneStore,
    async untilDifferent(signal) {
      for (let isOne = true; isOne && !signal.aborted; ) {
        await sleep(checkMs, signal)
        isOne = await assertOneStore().then(
          () => true,
          () => false,
        )
      }
    },
  }
}
