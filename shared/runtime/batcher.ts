import { setImmediate as turn } from 'node:timers/promises'

/** The maximum number of event-loop turns that a growing batch waits for further items. */
const MAX_TURNS = 4

/** There was no result within the time budget. */
export class TimedOutError extends Error {
  override name = 'TimedOutError'
}

type Options<Item, Result> = {
  /**
   * Processes one batch. Must settle soon after `signal` aborts, because the next batch waits for it. If a batch spent
   * its whole budget in the queue, its signal is already aborted.
   */
  run: (items: Item[], signal: AbortSignal) => Promise<Result>
  /** Maximum batch size. */
  maxItems: number
  /** Time budget per item in milliseconds, starting when the item is added. */
  budgetMs: number
}

type Batch<Item, Result> = { items: Item[]; createdAt: number; settled: PromiseWithResolvers<Result> }

/**
 * Batches concurrent calls. While one batch is in flight, new items queue up for the next batch, which starts once it
 * no longer grows. A single call does not wait for others. All items in a batch share one result.
 *
 * There is no timer per item: a batch's budget starts with its first item.
 *
 * @returns a function that adds an item, and resolves to the batch's result or rejects with the error that `run` throws
 */
export function createBatcher<Item, Result>({ run, maxItems, budgetMs }: Options<Item, Result>) {
  const queue: Batch<Item, Result>[] = []
  let isRunning = false

  async function drainQueue(): Promise<void> {
    let settlePrevious = () => {}
    for (let batch = await takeBatch(); batch; batch = await takeBatch()) {
      const running = runBatch(batch)
      // Settle a batch only after the next batch has started. Otherwise, the callers' continuations would delay the
      // next batch.
      settlePrevious()
      settlePrevious = await running
    }
    settlePrevious()
  }

  /**
   * Takes the next batch once it no longer grows, because a large batch costs less than several small ones. If the
   * queue is empty, clears `isRunning` at once, so that the next item starts drainQueue() again.
   */
  async function takeBatch(): Promise<Batch<Item, Result> | undefined> {
    const [next] = queue
    let size = 1
    for (
      let turns = 0;
      next && turns < MAX_TURNS && size < next.items.length && next.items.length < maxItems;
      turns += 1
    ) {
      size = next.items.length
      await turn()
    }
    const batch = queue.shift()
    if (!batch) isRunning = false
    return batch
  }

  /** @returns a function that settles the promise shared by the callers of the batch */
  async function runBatch({ items, createdAt, settled }: Batch<Item, Result>): Promise<() => void> {
    const remainingMs = createdAt + budgetMs - performance.now()
    const controller = new AbortController()
    const expire = () => controller.abort(new TimedOutError(`no result within ${budgetMs} ms`))
    if (remainingMs <= 0) expire()
    const timer = setTimeout(expire, Math.max(0, remainingMs))
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
      last = { items: [], createdAt: performance.now(), settled: Promise.withResolvers<Result>() }
      queue.push(last)
    }
    last.items.push(item)
    if (!isRunning) {
      isRunning = true
      // Items added in the same turn of the event loop join the same batch.
      setImmediate(drainQueue)
    }
    return last.settled.promise
  }
}
