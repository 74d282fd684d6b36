/** What was asked for did not come in time. */
export class TimedOutError extends Error {
  override name = 'TimedOutError'
}

type Options<Item, Result> = {
  /** Does one group. It ends soon after `signal` aborts: the next group starts when it has. The signal of a group that
   * waited too long has aborted before. */
  run: (items: Item[], signal: AbortSignal) => Promise<Result>
  /** The most items in one group. */
  maxItems: number
  /** How long an item may take, from the call that added it, in milliseconds. */
  budgetMs: number
}

type Group<Item, Result> = { items: Item[]; since: number; settled: PromiseWithResolvers<Result> }

/**
 * Groups calls: one group is under way, and what comes meanwhile gathers for the next. So a hundred calls at once cost
 * one request or one append, and a single call waits for nothing. All calls of a group get the same result.
 *
 * No timer runs per call: a group's time counts from its first item, so a group that had to wait has less left.
 *
 * @returns a function that adds an item; it rejects with what `run` throws
 */
export function createBatcher<Item, Result>({ run, maxItems, budgetMs }: Options<Item, Result>) {
  const queue: Group<Item, Result>[] = []
  let running = false

  async function work(): Promise<void> {
    let settleLast = () => {}
    for (let group = queue.shift(); group; group = queue.shift()) {
      const outcome = outcomeOf(group)
      // Only now that the next group is on its way: what those who waited do next would hold it up.
      settleLast()
      settleLast = await outcome
    }
    running = false
    settleLast()
  }

  /** Runs a group. @returns what tells those who wait for it */
  async function outcomeOf({ items, since, settled }: Group<Item, Result>): Promise<() => void> {
    const left = since + budgetMs - performance.now()
    const controller = new AbortController()
    const expire = () => controller.abort(new TimedOutError(`no result within ${budgetMs} ms`))
    if (left <= 0) expire()
    const timer = setTimeout(expire, left)
    try {
      const result = await run(items, controller.signal)
      return () => settled.resolve(result)
    } catch (error) {
      return () => settled.reject(error)
    } finally {
      clearTimeout(timer)
    }
  }

  return function add(item: Item): Promise<Result> {
    let last = queue.at(-1)
    if (!last || last.items.length >= maxItems) {
      last = { items: [], since: performance.now(), settled: Promise.withResolvers<Result>() }
      queue.push(last)
    }
    last.items.push(item)
    if (!running) {
      running = true
      // What arrived together goes together: the rest of it is read before this runs.
      setImmediate(work)
    }
    return last.settled.promise
  }
}
