import type { EventLog, NewView, Producer } from '../shared/event-log/event-log.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { pause } from '../shared/runtime/pause.ts'
import { createTeller } from '../shared/runtime/teller.ts'
import type { Outbox, Waiting } from './outbox.ts'

const RETRY_MS = 100
/** How long one append from the outbox may take; nobody waits for it. */
const DRAIN_MS = 2_000

/** Where a view is recorded. */
export type Recorded = 'log' | 'outbox'

export type Spooler = AsyncDisposable & {
  /**
   * Appends views to the log, or, where it does not confirm them before `signal` aborts, puts them in the outbox.
   * @throws OutboxError where neither works
   */
  append(views: readonly NewView[], signal: AbortSignal): Promise<Recorded>
  /** Brings to the log what an earlier process left in the outbox. Only to be called by who holds the port. */
  start(): void
}

type Deps = { eventLog: EventLog; outbox: Outbox; log: Logger; retryMs?: number }

/**
 * The log with an outbox before it. While the log does not confirm, everything goes to the outbox, and so costs nobody
 * a time-out; one loop brings it to the log, and with its first success views go straight to the log again.
 *
 * A view is stored once because of one rule: what a producer has in the outbox is appended before anything else of that
 * producer. So whether a message was stored whose acknowledgement was lost, shows in what its producer's subject ends
 * with. To go on without waiting for the outbox takes a new producer.
 */
export function createSpooler({ eventLog, outbox, log, retryMs = RETRY_MS }: Deps): Spooler {
  const closing = new AbortController()
  let producer = eventLog.producer()
  let spooling = false
  let draining: Promise<void> | undefined
  const tellLog = createTeller(log, 'the log does not confirm; views go to the outbox', 'the log confirms again')
  const tellOutbox = createTeller(log, 'the outbox fails', 'the outbox works again')

  function resume(): void {
    if (!spooling) return
    spooling = false
    producer = eventLog.producer()
  }

  function put(views: readonly NewView[]): void {
    try {
      outbox.put(producer.id, views)
      tellOutbox()
    } catch (error) {
      tellOutbox(error as Error)
      // Nothing is left that would tell when the log is back, so the next views find out.
      resume()
      throw error
    }
  }

  async function drain(): Promise<void> {
    let drainer: Producer | undefined
    for (let next = await firstWaiting(); next; next = await firstWaiting()) {
      const { producer: id, views } = next
      drainer = drainer?.id === id ? drainer : eventLog.producer(id)
      try {
        await drainer.append(views, AbortSignal.any([closing.signal, AbortSignal.timeout(DRAIN_MS)]))
      } catch {
        await pause(retryMs, closing.signal)
        continue
      }
      tellLog()
      resume()
      // What the log has must leave the outbox before anything of the same producer is appended.
      await withOutbox(() => {
        outbox.drop(next.through)
        tellOutbox()
      })
    }
  }

  function firstWaiting(): Waiting | undefined | Promise<Waiting | undefined> {
    return withOutbox(() => {
      const first = outbox.first()
      // In the same step, or a view that comes in between would wait for the next one.
      if (!first) draining = undefined
      return first
    })
  }

  /** Tries until it works, or undefined when the process ends. Without waiting where it works at once. */
  function withOutbox<Result>(work: () => Result): Result | undefined | Promise<Result | undefined> {
    if (closing.signal.aborted) return undefined
    try {
      return work()
    } catch (error) {
      tellOutbox(error as Error)
      return pause(retryMs, closing.signal).then(() => withOutbox(work))
    }
  }

  function startDraining(): void {
    draining ??= Promise.resolve().then(drain)
  }

  return {
    async append(views, signal) {
      if (!spooling) {
        try {
          await producer.append(views, signal)
          tellLog()
          return 'log'
        } catch (error) {
          tellLog(error as Error)
          spooling = true
        }
      }
      put(views)
      startDraining()
      return 'outbox'
    },
    start: startDraining,
    async [Symbol.asyncDispose]() {
      closing.abort()
      await draining
    },
  }
}
