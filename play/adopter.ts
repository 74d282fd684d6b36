import type { Predecessor } from '../shared/contracts/view.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { toReason } from '../shared/runtime/reason.ts'
import { retry } from '../shared/runtime/retry.ts'
import { sleep } from '../shared/runtime/sleep.ts'
import { drainOutbox } from './drain.ts'
import type { OutboxFile } from './outbox-file.ts'
import type { Orphan, OutboxFiles } from './outbox-files.ts'

/** Mean interval between searches for orphaned outboxes. */
const INTERVAL_MS = 3_000

export type Adopter = AsyncDisposable & {
  /** Starts adopting orphaned outboxes, including those of processes that end later. */
  start(): void
  /** The number of views in adopted outboxes. */
  size(): number
}

type Deps = {
  files: Pick<OutboxFiles, 'openOrphans'>
  eventLog: Pick<EventLog, 'producer'>
  log: Logger
  /** Called with each producer in an adopted outbox, and the serial of its last acknowledged view. */
  onAcknowledged: (last: Predecessor) => void
  intervalMs?: number
}

/**
 * Drains the outboxes of processes that have ended. Keeps each outbox open, and thereby locked, until it is empty, so
 * that only one process drains it. If that process ends too, another one takes over.
 */
export function createAdopter({ files, eventLog, log, onAcknowledged, intervalMs = INTERVAL_MS }: Deps): Adopter {
  const shutdown = new AbortController()
  const { signal } = shutdown
  const adopted = new Map<OutboxFile, Promise<void>>()
  let watching: Promise<void> | undefined

  async function empty(outbox: OutboxFile): Promise<void> {
    await drainOutbox({
      eventLog,
      outbox,
      signal,
      onAppended({ producer, views }) {
        const serial = views.at(-1)?.serial
        if (serial !== undefined) onAcknowledged({ producer, serial })
      },
    })
    const predecessor = outbox.predecessor()
    if (predecessor) onAcknowledged(predecessor)
    outbox.setPredecessor(undefined)
  }

  async function adopt({ file, outbox, views }: Orphan): Promise<void> {
    using _ = outbox
    if (views > 0) log.info({ file, views }, 'adopting the outbox of a process that has ended')
    await retry(() => empty(outbox), {
      signal,
      onFailure: (error) => log.debug({ file, reason: toReason(error) }, 'the adopted outbox cannot be drained yet'),
    })
    if (views > 0 && !signal.aborted) log.info({ file }, 'the adopted outbox is empty')
    adopted.delete(outbox)
  }

  async function watch(): Promise<void> {
    while (!signal.aborted) {
      for (const orphan of await files.openOrphans()) adopted.set(orphan.outbox, adopt(orphan))
      // Without jitter, processes could keep opening the same file at the same time, and lock one another out.
      await sleep(intervalMs * (0.5 + Math.random()), signal)
    }
  }

  return {
    start() {
      watching ??= watch()
    },
    size: () => adopted.keys().reduce((sum, outbox) => sum + outbox.size(), 0),
    async [Symbol.asyncDispose]() {
      shutdown.abort()
      await watching
      await Promise.all(adopted.values())
    },
  }
}
