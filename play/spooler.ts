import type { Predecessor } from '../shared/contracts/view.ts'
import type { EventLog, NewView } from '../shared/event-log/event-log.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { toReason } from '../shared/runtime/reason.ts'
import { retry } from '../shared/runtime/retry.ts'
import { createTransitionLog } from '../shared/runtime/transition-log.ts'
import { drainOutbox, SOURCE } from './drain.ts'
import { type Outbox, OutboxError } from './outbox.ts'
import { createSerials, firstSerial, type Unnamed } from './serials.ts'

const RETRY_MS = 100

/** Where views were recorded, their producer, and the serial of the first one. */
export type Recorded = { place: 'log' | 'outbox'; producer: string; serial: number }

export type Spooler = AsyncDisposable & {
  /**
   * Appends views to the log. If the log does not acknowledge them before `signal` aborts, puts them in the outbox.
   * @throws OutboxError if the outbox fails too
   */
  append(views: readonly NewView[], signal: AbortSignal): Promise<Recorded>
  /**
   * Drains an earlier process's backlog. Call this only after the port is bound, so that a process that cannot start
   * leaves no outbox behind.
   */
  start(): void
  /** The id of the producer of the next view. */
  producer(): string
  /**
   * Makes the next view name a producer that appends no more views, so that a loss of that producer's last views is
   * detected.
   */
  name(last: Predecessor): void
}

type Deps = {
  eventLog: Pick<EventLog, 'producer'>
  outbox: Outbox
  log: Logger
  appendTimeoutMs: number
  retryMs?: number
}

/**
 * Appends views to the log, with the outbox as a fallback. While the log is unavailable, all views go straight to the
 * outbox, so that no play waits for a timeout. A single loop drains the outbox; its first success switches back to the
 * log.
 *
 * Invariant: a producer's views in the outbox are appended before any of its other views. So if an acknowledgement is
 * lost, the producer's last message shows whether the append was stored. After an outage, new views therefore use a new
 * producer. Its first view names the old producer as the predecessor, which reveals the loss of the old producer's last
 * views.
 */
export function createSpooler({ eventLog, outbox, log, appendTimeoutMs, retryMs = RETRY_MS }: Deps): Spooler {
  const shutdown = new AbortController()
  const unnamed: Unnamed = new Map()
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
    if (predecessor) name(predecessor)
    return { producer: eventLog.producer(SOURCE), serials: createSerials(unnamed), acknowledged: predecessor }
  }

  function name({ producer, serial }: Predecessor): void {
    unnamed.set(producer, Math.max(serial, unnamed.get(producer) ?? 0))
  }

  function acknowledge(producer: string, views: readonly NewView[]): void {
    const serial = views.at(-1)?.serial
    if (serial === undefined) return
    if (producer === current.producer.id) current.acknowledged = { producer, serial }
    else name({ producer, serial })
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
    await drainOutbox({
      eventLog,
      signal: shutdown.signal,
      outbox: {
        first,
        drop(through) {
          outbox.drop(through)
          reportOutbox()
        },
      },
      onAppended({ producer, views }, ms) {
        acknowledge(producer, views)
        // Plays keep using the outbox while the log is too slow for them, because their appends would time out again.
        if (ms > appendTimeoutMs) return
        reportLog()
        stopSpooling()
      },
    })
  }

  function first() {
    const batch = outbox.first()
    // Reset in the same tick as the read, so that views put into the outbox later start a new drain.
    if (!batch) isDraining = false
    return batch
  }

  /** Logs a failure without throwing, so that plays continue. A loss of this process's last views may go undetected. */
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
      signal: shutdown.signal,
      initialMs: retryMs,
      maxMs: retryMs,
      onFailure(error) {
        if (error instanceof OutboxError) reportOutbox(error)
        // This failure is not logged as an outage, because the log may accept every view except this batch.
        else log.debug({ reason: toReason(error) }, 'the outbox cannot be drained yet; retrying')
      },
    })
  }

  return {
    async append(unnumbered, signal) {
      const { producer, serials } = current
      const views = serials.number(unnumbered)
      const recorded = { producer: producer.id, serial: firstSerial(views) }
      if (!isSpooling) {
        try {
          await producer.append(views, signal)
          serials.record(views)
          acknowledge(producer.id, views)
          reportLog()
          return { place: 'log', ...recorded }
        } catch (error) {
          reportLog(error)
          isSpooling = true
        }
      }
      put(views)
      startDraining()
      return { place: 'outbox', ...recorded }
    },
    producer: () => current.producer.id,
    start() {
      tryOutbox(() => {
        const predecessor = outbox.predecessor()
        if (predecessor) name(predecessor)
      })
      startDraining()
    },
    name,
    async [Symbol.asyncDispose]() {
      shutdown.abort()
      await drained
      tryOutbox(() => {
        if (current.acknowledged) outbox.setPredecessor(current.acknowledged)
      })
    },
  }
}
