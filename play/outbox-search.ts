import { setImmediate as turn } from 'node:timers/promises'
import type { NewView } from '../shared/event-log/event-log.ts'
import type { OutboxFile } from './outbox-file.ts'

/**
 * Finds a view in an outbox, newest first. Yields to plays between pages, because an outbox may have a million views.
 * @throws Error if the disk fails, or if `signal` aborts
 */
export async function searchOutbox(
  outbox: Pick<OutboxFile, 'search'>,
  id: string,
  signal: AbortSignal,
): Promise<NewView | undefined> {
  let page = outbox.search(id)
  while (!page.view && page.rest !== undefined) {
    await turn()
    signal.throwIfAborted()
    page = outbox.search(id, page.rest)
  }
  return page.view
}
