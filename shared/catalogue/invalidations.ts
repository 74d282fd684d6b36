/** Says that a service has created, replaced or deleted an asset's entry: cached copies are out of date. */
export type Invalidation = { service: string; id: string }

export type Invalidations = {
  /** Best effort: if an invalidation is lost, the TTL of the cache bounds how long it is stale. */
  publish(invalidation: Invalidation): void
  /**
   * @param onInvalidation called for each invalidation
   * @param onGap called when invalidations may have been missed
   */
  subscribe(onInvalidation: (invalidation: Invalidation) => void, onGap: () => void): void
}
