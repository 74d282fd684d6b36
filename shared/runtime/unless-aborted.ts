/** What `work` gives, or the reason of the first signal that aborts, whichever comes first. */
export async function unlessAborted<T>(work: Promise<T>, ...signals: AbortSignal[]): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = ({ target }: Event) => aborted.reject((target as AbortSignal).reason)
  for (const signal of signals) {
    if (signal.aborted) aborted.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
  }
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', abort)
  }
}
