/** Shares one result among all calls within `ms` milliseconds after the first call. */
export function cacheFor<Value>(ms: number, load: () => Promise<Value>): () => Promise<Value> {
  let loading: Promise<Value> | undefined
  let startedAt = 0
  return () => {
    if (!loading || performance.now() - startedAt > ms) {
      startedAt = performance.now()
      loading = load()
    }
    return loading
  }
}
