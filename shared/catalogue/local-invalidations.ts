import type { Invalidation, Invalidations } from './invalidations.ts'

/** Invalidations within one process, for embedded mode and for services without NATS. */
export function createLocalInvalidations(): Invalidations {
  const subscribers: ((invalidation: Invalidation) => void)[] = []
  return {
    publish(invalidation) {
      for (const subscriber of subscribers) subscriber(invalidation)
    },
    subscribe(onInvalidation) {
      subscribers.push(onInvalidation)
    },
  }
}
