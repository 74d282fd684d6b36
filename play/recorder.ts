import type { Play } from '../shared/contracts/play.ts'
import { BATCH_SIZE } from '../shared/contracts/trace.ts'
import type { NewView } from '../shared/event-log/event-log.ts'
import { createBatcher } from '../shared/runtime/batcher.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { Recorded } from './spooler.ts'

const MAX_VIEWS_PER_APPEND = 1_000

const SEND = { kind: 'producer', attributes: { 'messaging.operation.type': 'send' } } as const

/** A play with its view's event id; or, with `watched`, a report of watch time with its own event id. */
export type IdentifiedPlay = Play & Pick<NewView, 'id' | 'keyed' | 'duration' | 'watched'>

/**
 * Records a view or report in the log or the outbox, and resolves to the place where it was recorded.
 * @throws UnavailableError if it could not be recorded
 */
export type Recorder = (play: IdentifiedPlay, request: RequestContext) => Promise<Recorded>

/** Records a batch of views. */
export type Append = (views: readonly NewView[], signal: AbortSignal) => Promise<Recorded>

type Deps = { append: Append; timeoutMs: number; maxViews?: number }

/** An asset's duration, for a view's event; absent if the metadata has none. */
export function durationOf({ duration }: { duration?: number | undefined }): { duration?: number } {
  return duration === undefined ? {} : { duration }
}

/** Group commit: views that arrive while an append is in flight form the next append. */
export function createRecorder({ append, timeoutMs, maxViews = MAX_VIEWS_PER_APPEND }: Deps) {
  const add = createBatcher<NewView, { place: Recorded; views: number }>({
    run: async (views, signal) => ({ place: await append(views, signal), views: views.length }),
    maxItems: maxViews,
    budgetMs: timeoutMs,
  })

  return async function record(play: IdentifiedPlay, { requestId, span: parent }: RequestContext) {
    const span = parent.child(play.watched ? 'send video.watched' : 'send video.viewed', SEND)
    const { traceparent, tracestate } = span
    const at = new Date().toISOString()
    try {
      const { place, views } = await add({ ...play, at, requestId, traceparent, tracestate })
      span.end(span.isRecorded ? { attributes: { [BATCH_SIZE]: views, 'recorded.place': place } } : undefined)
      return place
    } catch (error) {
      span.end({ error })
      throw new UnavailableError(`the ${play.watched ? 'report' : 'view'} could not be recorded`, { cause: error })
    }
  } satisfies Recorder
}
