import type { Predecessor } from '../shared/contracts/view.ts'
import type { EventLog, NewView, Producer } from '../shared/event-log/event-log.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { toReason } from '../shared/runtime/reason.ts'
import { retry } from '../shared/runtime/retry.ts'
import { createTransitionLog } from '../shared/runtime/transition-log.ts'
import { type Outbox, OutboxError } from './outbox.ts'
import { createSerials } from './serials.ts'

const RETRY_MS = 100

/** Timeout of an append from the outbox. No request waits for this append. */
const DRAIN_TIMEOUT_MS = 2_000

/** The `source` of this service's events. */
export const SOURCE = '/play'

/** The place where a view is recorded. */
export type Recorded = 'log' | 'outbox'

export type Spooler = AsyncDisposable & {
  /**
   * Appends views to the log. If the log does not acknowledge them before `signal` aborts, puts them in the outbox.
   * @throws OutboxError if both fail
   */
  append(views: readonly NewView[], signal: AbortSignal): Promise<Recorded>
  /**
   * Drains the backlog of an earlier process. Call this only after the port is bound, because the port guards the
   * outbox file.
   */
  start(): void
}

type Deps = {
  eventLog: Pick<EventLog, 'producer'>
  outbox: Outbox
  log: Logger
  appendTimeoutMs: number
  retryMs?: number
}

/**
 * The log with an outbox as fallback. While the log is unavailable, all views go straight to the outbox, so that no
 * play waits for a timeout. A single loop drains the outbox; its first success switches back to the log.
 *
 * Invariant: the views of a producer in the outbox are appended before any other views of that producer. So if an
 * acknowledgement is lost, the last message of the producer shows whether the append was stored. After an outage, new
 * views therefore use a new producer. It names the old producer as its predecessor, which reveals lost last views.
 */
export function createSpooler({ eventLog, outbox, log, appendTimeoutMs, retryMs = RETRY_MS }: Deps): Spooler {
  const closing = new AbortController()
  let current = openNumbered()
  let isSpooling = false
  let isDraining = false
  let drained: Promise<void> | undefined
  const reportLog = createTransitionLog(log, {
    failing: 'event log unavailable; writing views to the outbox',
    recovered: 'event log recovered',
  })
  const reportOutbox = createTransitionLog(log, { failing: 'outbox unavailable', recovered: 'outbox recovered' })

  function openNumbered(predecessor?: Predecessor) {
    return { producer: eventLog.producer(SOURCE), serials: createSerials(predecessor), acknowledged: predecessor }
  }

  function acknowledge(producer: string, views: readonly NewView[]): void {
    const serial = views.at(-1)?.serial
    if (serial === undefined) return
    if (producer === current.producer.id) current.acknowledged = { producer, serial }
    else current.serials.name({ producer, serial })
  }

  function stopSpooling(): void {
    if (!isSpooling) return
    isSpooling = false
    current = openNumbered(current.acknowledged)
  }

  function put(views: readonly NewView[]): void {
    try {
      outbox.put(current.producer.id, views)
      current.serials.record(views)
      reportOutbox()
    } catch (error) {
      reportOutbox(error)
      // If the outbox is empty, no drain detects that the log has recovered, so the next append must try the log.
      stopSpooling()
      throw error
    }
  }

  async function drain(): Promise<void> {
    // After a failure it is unknown which views were stored. A new producer with the same id reads that from the log.
    let drainer: Producer | undefined
    for (let batch = first(); batch; batch = first()) {
      drainer = drainer?.id === batch.producer ? drainer : eventLog.producer(SOURCE, batch.producer)
      const since = performance.now()
      await drainer.append(batch.views, AbortSignal.any([closing.signal, AbortSignal.timeout(DRAIN_TIMEOUT_MS)]))
      acknowledge(batch.producer, batch.views)
      // If the log is still too slow for plays, their appends would time out again.
      if (performance.now() - since <= appendTimeoutMs) {
        reportLog()
        stopSpooling()
      }
      outbox.drop(batch.through)
      reportOutbox()
    }
  }

  function first() {
    const batch = outbox.first()
    // Reset in the same tick as the read, so that views that are put later start a new drain.
    if (!batch) isDraining = false
    return batch
  }

  /** Plays continue if this fails. Then only a loss of the previous process's last views would go unnoticed. */
  function tryOutbox(work: () => void): void {
    try {
      work()
    } catch (error) {
      reportOutbox(error)
    }
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
        // This failure is logged separately, because the log may accept every view except this batch.
        else log.debug({ reason: toReason(error) }, 'the outbox cannot be drained yet; retrying')
      },
    })
  }

  return {
    async append(unnumbered, signal) {
      const views = current.serials.number(unnumbered)
      if (!isSpooling) {
        try {
          await current.producer.append(views, signal)
          current.serials.record(views)
          acknowledge(current.producer.id, views)
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
    start() {
      tryOutbox(() => {
        const predecessor = outbox.predecessor()
        if (predecessor) current.serials.name(predecessor)
      })
      startDraining()
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      await drained
      tryOutbox(() => {
        if (current.acknowledged) outbox.setPredecessor(current.acknowledged)
      })
    },
  }
}
