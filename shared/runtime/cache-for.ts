/** Shares one result among all calls within `ms` milliseconds after the first. */
export function cacheFor<Value>(ms: number, load: () => Promise<Value>): () => Promise<Value> {
  let loading: Promise<Value> | undefined
  let since = 0
  return () => {
    if (!loading || performance.now() - since > ms) {
      since = performance.now()
      loading = load()
    }
    return loading
  }
}
