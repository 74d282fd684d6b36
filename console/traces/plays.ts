import { services } from '../../services.ts'
import type { ServiceClient } from '../../shared/client/service-client.ts'
import {
  PLAY_ATTRIBUTES,
  type TracedPlay,
  TracedPlays,
  type TracedPlaysQuery,
  type TraceSpan,
} from '../../shared/contracts/trace.ts'
import { parseSafely } from '../../shared/runtime/parse-safely.ts'
import { byStart, type KeptTraces } from '../../shared/tracing/kept-traces.ts'
import { isItself } from './itself.ts'

const TIMEOUT_MS = 300

const { requestId: REQUEST_ID, viewId: VIEW_ID, assetId: ASSET_ID, userId: USER_ID } = PLAY_ATTRIBUTES

/** Lists recorded plays, newest first. */
export type PlayList = {
  /** Lists the plays from this process. */
  local(query: Query): TracedPlays
  /** Lists the plays from all known instances of play. */
  all(query: Query): Promise<TracedPlays>
}

type Query = Omit<TracedPlaysQuery, 'local'>

type Deps = {
  kept: KeptTraces
  /** The clients for play. Their instances may include this process. */
  plays: readonly Pick<ServiceClient, 'name' | 'getAll'>[]
}

export function createPlayList({ kept, plays }: Deps): PlayList {
  function local({ limit, viewId }: Query): TracedPlays {
    const plays = kept.all().flatMap((spans) => spans.filter(isPlay))
    const matching = viewId === undefined ? plays : plays.filter(({ attributes }) => attributes[VIEW_ID] === viewId)
    return { traces: matching.toSorted(newestFirst).slice(0, limit).map(toPlay), missing: [] }
  }

  return {
    local,
    async all(query) {
      const { limit, viewId } = query
      const params = new URLSearchParams({
        local: 'true',
        limit: String(limit),
        ...(viewId !== undefined && { viewId }),
      })
      const signal = AbortSignal.timeout(TIMEOUT_MS)
      const responses = await Promise.all(plays.map((play) => play.getAll(`/traces?${params}`, signal)))
      const lists = responses
        .filter((instances) => !isItself(instances))
        .flat()
        .map(({ response }) => (response?.status === 200 ? parseSafely(TracedPlays, response.body).data : undefined))
      const localPlays = local(query)
      if (lists.length === 0) return localPlays
      const traces = unique([localPlays, ...lists].flatMap((list) => list?.traces ?? []))
      return {
        traces: traces.toSorted(newestFirst).slice(0, limit),
        missing: lists.includes(undefined) ? [services.play.name] : [],
      }
    },
  }
}

/** Removes duplicates, because one of the instances may be this process. */
function unique(plays: readonly TracedPlay[]): TracedPlay[] {
  return [...new Map(plays.map((play) => [`${play.traceId} ${play.at}`, play])).values()]
}

function newestFirst(a: Pick<TracedPlay, 'at'>, b: Pick<TracedPlay, 'at'>): number {
  return byStart(b, a)
}

function isPlay({ kind, attributes }: TraceSpan): boolean {
  return kind === 'server' && attributes[ASSET_ID] !== undefined
}

function toPlay({ traceId, at, durationMs, attributes }: TraceSpan): TracedPlay {
  const view = attributes[VIEW_ID]
  return {
    traceId,
    requestId: String(attributes[REQUEST_ID]),
    viewId: view === undefined ? null : String(view),
    assetId: String(attributes[ASSET_ID]),
    userId: String(attributes[USER_ID]),
    at,
    durationMs,
    status: Number(attributes['http.response.status_code']),
  }
}
