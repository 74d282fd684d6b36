/**
 * Loads and shows something at an interval, until the returned function is called. A round that throws is reported as
 * an uncaught error, and does not stop the polling.
 * @template Result
 * @param {() => Promise<Result>} load
 * @param {(result: Result) => void} show
 * @param {number} intervalMs from start to start
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
