import { z } from 'zod'
import { expectBody, type ServiceClient, UpstreamError } from '../shared/client/service-client.ts'
import type { Play } from '../shared/contracts/play.ts'
import { BATCH_SIZE } from '../shared/contracts/trace.ts'
import {
  type CountLookup,
  type KeyedPlay,
  ListedResponse,
  type ListedViews,
  type PlayCounts,
} from '../shared/contracts/view-counts.ts'
import { createBatcher } from '../shared/runtime/batcher.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { createTransitionLog } from '../shared/runtime/transition-log.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'

const CompiledResponse = z.compile(ListedResponse, { strict: true })

/** Maximum number of plays in one batched lookup. */
const MAX_PLAYS = 1_000

/** A play. If it has an idempotency key, `keyedId` is the event id that the key determines. */
export type LookedUpPlay = Play & { keyedId?: string }

/**
 * The counts for a play. They include the events of `producer` up to `serial`, if they include any of them, and
 * `original`, the counted play with the same event id, if there is one.
 */
export type LookedUp = PlayCounts & {
  producer: string
  serial?: number | undefined
  original?: KeyedPlay | undefined
}

/** Returns the counts for a play; undefined if they are unavailable. Never rejects. */
export type LookUpCounts = (play: LookedUpPlay, request: RequestContext) => Promise<LookedUp | undefined>

export type CountLookupDeps = {
  reporting: Pick<ServiceClient, 'post'>
  /** The id of the producer of this process's views. */
  producer: () => string
  timeoutMs: number
  log: Logger
  /** Called with the size of each batch. */
  onBatch: (plays: number) => void
  maxPlays?: number
}

type PlayRequest = LookedUpPlay & RequestContext

/** View counts by asset id and by user id, keyed plays by event id, and the last counted serial of `producer`. */
type Found = {
  assets: Map<string, number>
  users: Map<string, number>
  events: ListedViews['events']
  producer: string
  serial: number | undefined
}

/** Batched lookup: one request serves all plays that arrived while the previous request was in flight. */
export function createCountLookup(deps: CountLookupDeps): LookUpCounts {
  const { reporting, producer: currentProducer, timeoutMs, log, onBatch, maxPlays = MAX_PLAYS } = deps
  const reportRefusal = createTransitionLog(log, {
    failing: 'reporting rejects count lookups: set the same READ_TOKEN for play and reporting',
    recovered: 'reporting accepts count lookups again',
  })
  const lookUp = createBatcher<PlayRequest, { found: Found; size: number }>({
    maxItems: maxPlays,
    budgetMs: timeoutMs,
    async run(plays, signal) {
      onBatch(plays.length)
      const options = { signal, idempotent: true, ...causeOf(plays) }
      const ids = toLookup(plays)
      const producer = currentProducer()
      const response = await reporting.post(
        `/events/lookup?as=lists&producer=${encodeURIComponent(producer)}`,
        ids,
        options,
      )
      reportRefusal(response.status === 401 ? 'returned 401' : undefined)
      const found = expectBody(response, 200, CompiledResponse)
      if ('status' in found) throw new UpstreamError('reporting is behind the log')
      const { events } = found
      const [assets, users] = [byId(ids.assets, found.assets), byId(ids.users, found.users)]
      const serial = 'serial' in found ? found.serial : undefined
      return { found: { assets, users, events, producer, serial }, size: plays.length }
    },
  })

  return async function lookUpCounts({ assetId, userId, keyedId }, { requestId, span: parent }) {
    const span = parent.child('look up counts')
    try {
      const keyed = keyedId === undefined ? {} : { keyedId }
      const { found, size } = await lookUp({ assetId, userId, ...keyed, requestId, span })
      const { users, assets, events, producer, serial } = found
      span.end(span.isRecorded ? { attributes: { [BATCH_SIZE]: size } } : undefined)
      const counts = { userviews: users.get(userId) ?? 0, assetviews: assets.get(assetId) ?? 0, producer, serial }
      return keyedId === undefined ? counts : { ...counts, original: events?.[keyedId] }
    } catch (err) {
      span.end({ error: err })
      log.debug({ err, requestId, trace_id: span.traceId }, 'counts unavailable')
      return undefined
    }
  }
}

/** @throws UpstreamError if the number of counts differs from the number of ids */
function byId(ids: readonly string[], views: readonly number[] | Record<string, number>): Map<string, number> {
  if (!Array.isArray(views)) return new Map(Object.entries(views))
  if (views.length !== ids.length) throw new UpstreamError(`returned ${views.length} counts for ${ids.length} ids`)
  return new Map(ids.map((id, index) => [id, views[index]]))
}

/** A lookup's request body, without duplicate ids. It has `events` only if there are keyed plays. */
function toLookup(plays: PlayRequest[]): CountLookup {
  const events = new Set(plays.flatMap(({ keyedId }) => keyedId ?? []))
  return {
    assets: [...new Set(plays.map(({ assetId }) => assetId))],
    users: [...new Set(plays.map(({ userId }) => userId))],
    ...(events.size > 0 && { events: [...events] }),
  }
}

/** A batched request's span belongs to the first recorded trace, and links to the others. */
function causeOf(plays: PlayRequest[]): Partial<RequestContext> & { links: PlayRequest['span'][] } {
  const recorded = plays.filter(({ span }) => span.isRecorded)
  const [first, ...others] = recorded
  const cause = first ?? plays[0]
  const links = others.map(({ span }) => span)
  return cause ? { requestId: cause.requestId, span: cause.span, links } : { links }
}
