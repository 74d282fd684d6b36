import { randomUUID } from 'node:crypto'
import type { Play } from '../shared/contracts/play.ts'
import type { EventLog, NewView } from '../shared/event-log/event-log.ts'
import { UnavailableError } from '../shared/http/errors.ts'
import { createBatcher, OverloadedError } from '../shared/runtime/batcher.ts'

/** How long a view may take to be confirmed. With the time to gather it stays below a second. */
const RECORD_MS = 400
const MAX_VIEWS_PER_APPEND = 1_000
const MAX_VIEWS_WAITING = 10_000

/**
 * Resolves when the view is in the log.
 * @throws UnavailableError where that is not known
 * @throws OverloadedError
 */
export type Record = (play: Play, requestId: string) => Promise<void>

/** Group commit: views that come while an append is under way form the next one. */
export function createRecorder({ eventLog }: { eventLog: EventLog }): Record {
  const append = createBatcher<NewView, void>({
    run: (views, signal) => eventLog.append(views, signal),
    maxItems: MAX_VIEWS_PER_APPEND,
    maxWaiting: MAX_VIEWS_WAITING,
    budgetMs: RECORD_MS,
  })

  return async function record({ assetId, userId }, requestId) {
    try {
      await append({ id: randomUUID(), assetId, userId, at: new Date().toISOString(), requestId })
    } catch (cause) {
      if (cause instanceof OverloadedError) throw cause
      throw new UnavailableError('the view is not recorded', { cause })
    }
  }
}
