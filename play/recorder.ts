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
 * Records a view or report in the log or the outbox, and resolves to where it was recorded, with its serial.
 * @throws UnavailableError if it could not be recorded
 */
export type Recorder = (play: IdentifiedPlay, request: RequestContext) => Promise<Recorded>

/** Records a batch of views, and resolves to the serial of the first one. */
export type Append = (views: readonly NewView[], signal: AbortSignal) => Promise<Recorded>

type Deps = { append: Append; timeoutMs: number; maxViews?: number }

/** An asset's duration, for a view's event; absent if the metadata has none. */
export function durationOf({ duration }: { duration?: number | undefined }): { duration?: number } {
  return duration === undefined ? {} : { duration }
}

/** Group commit: views that arrive while an append is in flight form the next append. */
export function createRecorder({ append, timeoutMs, maxViews = MAX_VIEWS_PER_APPEND }: Deps) {
  const add = createBatcher<NewView, { first: Recorded; views: NewView[] }>({
    run: async (views, signal) => ({ first: await append(views, signal), views }),
    maxItems: maxViews,
    budgetMs: timeoutMs,
  })

  return async function record(play: IdentifiedPlay, { requestId, span: parent }: RequestContext) {
    const span = parent.child(play.watched ? 'send video.watched' : 'send video.viewed', SEND)
    const { traceparent, tracestate } = span
    const view = { ...play, at: new Date().toISOString(), requestId, traceparent, tracestate }
    try {
      const { first, views } = await add(view)
      const { place } = first
      span.end(span.isRecorded ? { attributes: { [BATCH_SIZE]: views.length, 'recorded.place': place } } : undefined)
      return { ...first, serial: first.serial + views.indexOf(view) }
    } catch (error) {
      span.end({ error })
      throw new UnavailableError(`the ${play.watched ? 'report' : 'view'} could not be recorded`, { cause: error })
    }
  } satisfies Recorder
}
