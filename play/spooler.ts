import type { EventLog, NewView, Producer } from '../shared/event-log/event-log.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { toReason } from '../shared/runtime/reason.ts'
import { retry } from '../shared/runtime/retry.ts'
import { createTransitionLog } from '../shared/runtime/transition-log.ts'
import { type Outbox, OutboxError } from './outbox.ts'

const RETRY_MS = 100

/** Timeout of an append from the outbox. No request waits for it. */
const DRAIN_TIMEOUT_MS = 2_000

/** The `source` of this service's events. */
export const SOURCE = '/play'

/** Where a view is recorded. */
export type Recorded = 'log' | 'outbox'

export type Spooler = AsyncDisposable & {
  /**
   * Appends views to the log. If the log does not confirm them before `signal` aborts, puts them in the outbox.
   * @throws OutboxError if neither works
   */
  append(views: readonly NewView[], signal: AbortSignal): Promise<Recorded>
  /** Drains what an earlier process left in the outbox. Only the owner of the port may call it. */
  start(): void
}

type Deps = { eventLog: Pick<EventLog, 'producer'>; outbox: Outbox; log: Logger; retryMs?: number }

/**
 * The log with an outbox in front of it. While the log does not confirm, all views go to the outbox, so that no play waits
 * for a timeout. A single loop drains the outbox; its first success routes views to the log again.
 *
 * Exactly-once rests on one rule: what a producer has in the outbox is appended before anything else of that producer. So
 * if an acknowledgement is lost, the end of the producer's subject shows whether the message was stored. Views that bypass
 * the outbox again therefore get a new producer.
 */
export function createSpooler({ eventLog, outbox, log, retryMs = RETRY_MS }: Deps): Spooler {
  const closing = new AbortController()
  let producer = eventLog.producer(SOURCE)
  let isSpooling = false
  let isDraining = false
  let drained: Promise<void> | undefined
  const reportLog = createTransitionLog(log, {
    failing: 'the log does not confirm; views go to the outbox',
    recovered: 'the log confirms again',
  })
  const reportOutbox = createTransitionLog(log, { failing: 'the outbox fails', recovered: 'the outbox works again' })

  function stopSpooling(): void {
    if (!isSpooling) return
    isSpooling = false
    producer = eventLog.producer(SOURCE)
  }

  function put(views: readonly NewView[]): void {
    try {
      outbox.put(producer.id, views)
      reportOutbox()
    } catch (error) {
      reportOutbox(error)
      // If the outbox is empty, no drain notices that the log has recovered: the next append must try it.
      stopSpooling()
      throw error
    }
  }

  async function drain(): Promise<void> {
    // After a failure it is unknown what was stored. A new producer with the same id finds out.
    let drainer: Producer | undefined
    for (let batch = first(); batch; batch = first()) {
      drainer = drainer?.id === batch.producer ? drainer : eventLog.producer(SOURCE, batch.producer)
      await drainer.append(batch.views, AbortSignal.any([closing.signal, AbortSignal.timeout(DRAIN_TIMEOUT_MS)]))
      reportLog()
      stopSpooling()
      outbox.drop(batch.through)
      reportOutbox()
    }
  }

  function first() {
    const batch = outbox.first()
    // In the same step as the read: views that are put later must start a new drain.
    if (!batch) isDraining = false
    return batch
  }

  function startDraining(): void {
    if (isDraining) return
    isDraining = true
    drained = retry(drain, {
      signal: closing.signal,
      initialMs: retryMs,
      maxMs: retryMs,
      onFailure(error) {
        if (error instanceof OutboxError) reportOutbox(error)
        // An outage of the log is reported by append(). Here the log may confirm all but this batch.
        else log.debug({ reason: toReason(error) }, 'the outbox cannot be drained yet; retrying')
      },
    })
  }

  return {
    async append(views, signal) {
      if (!isSpooling) {
        try {
          await producer.append(views, signal)
          reportLog()
          return 'log'
        } catch (error) {
          reportLog(error)
          isSpooling = true
        }
      }
      put(views)
      startDraining()
      return 'outbox'
    },
    start: startDraining,
    async [Symbol.asyncDispose]() {
      closing.abort()
      await drained
    },
  }
}
