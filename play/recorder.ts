import { randomUUID } from 'node:crypto'
import type { Play } from '../shared/contracts/play.ts'
import type { NewView } from '../shared/event-log/event-log.ts'
import { createBatcher } from '../shared/runtime/batcher.ts'
import { UnavailableError } from '../shared/runtime/unavailable.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { Recorded } from './spooler.ts'

/** How long the log may take to confirm a view. With the time to gather, and to put it in the outbox, it stays below a second. */
const CONFIRM_MS = 300
const MAX_VIEWS_PER_APPEND = 1_000

const SENDING = { kind: 'producer', attributes: { 'messaging.operation.type': 'send' } } as const

/**
 * Resolves when the view is recorded, with where.
 * @throws UnavailableError where it is not, or nobody knows
 */
export type Recorder = (play: Play, request: RequestContext) => Promise<Recorded>

/** Records a group of views. */
export type Append = (views: readonly NewView[], signal: AbortSignal) => Promise<Recorded>

/** Group commit: views that come while an append is under way form the next one. */
export function createRecorder({ append }: { append: Append }, maxItems = MAX_VIEWS_PER_APPEND): Recorder {
  const add = createBatcher<NewView, Recorded>({
    run: append,
    maxItems,
    budgetMs: CONFIRM_MS,
  })

  return async function record({ assetId, userId }, { requestId, span: cause }) {
    const span = cause.child('send video.viewed', SENDING)
    const { traceparent, tracestate } = span
    const at = new Date().toISOString()
    try {
      const recorded = await add({ id: randomUUID(), assetId, userId, at, requestId, traceparent, tracestate })
      span.end()
      return recorded
    } catch (error) {
      span.end({ error })
      throw new UnavailableError('the view is not recorded', { cause: error })
    }
  }
}
