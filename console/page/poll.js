/**
 * Loads and shows a result at a fixed interval, until the returned function is called. If a round throws, the error is
 * reported as uncaught, and the polling continues.
 * @template Result
 * @param {() => Promise<Result>} load
 * @param {(result: Result) => void} show
 * @param {number} intervalMs from the start of one round to the start of the next
 */
export function poll(load, show, intervalMs) {
  let timer = 0
  let isStopped = false
  async function next() {
    const startedAt = performance.now()
    try {
      const result = await load()
      if (!isStopped) show(result)
    } catch (error) {
      reportError(error)
    }
    if (!isStopped) timer = setTimeout(next, Math.max(0, startedAt + intervalMs - performance.now()))
  }
  void next()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}
