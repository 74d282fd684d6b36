/** Settles like `work`, or rejects with the reason of the first signal that aborts, whichever comes first. */
export async function raceAbort<T>(work: Promise<T>, ...signals: AbortSignal[]): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const handlers = signals.map((signal) => ({ signal, abort: () => reject(signal.reason) }))
  for (const { signal, abort } of handlers) {
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort)
  }
  try {
    return await Promise.race([work, aborted])
  } finally {
    for (const { signal, abort } of handlers) signal.removeEventListener('abort', abort)
  }
}
