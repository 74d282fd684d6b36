/** A service has created, replaced or deleted its data for an asset, so cached copies are stale. */
export type Invalidation = { service: string; id: string }

export type Invalidations = {
  /** Best effort: if an invalidation is lost, the cache's TTL bounds the staleness. */
  publish(invalidation: Invalidation): void
  /**
   * @param onInvalidation called for each invalidation
   * @param onGap called when invalidations may have been missed
   */
  subscribe(onInvalidation: (invalidation: Invalidation) => void, onGap: () => void): void
}
