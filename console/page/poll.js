/**
 * Loads something, shows it, and repeats that until the returned function is called.
 * @template Result
 * @param {() => Promise<Result>} load never rejects
 * @param {(result: Result) => void} show
 * @param {number} intervalMs from start to start
 */
export function poll(load, show, intervalMs) {
  let timer = 0
  let isStopped = false
  async function next() {
    const startedAt = performance.now()
    const result = await load()
    if (isStopped) return
    show(result)
    timer = setTimeout(next, Math.max(0, startedAt + intervalMs - performance.now()))
  }
  void next()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}
