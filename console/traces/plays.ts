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

/** Lists recorded plays, newest first. */
export type PlayList = {
  /** Of this process. */
  local(query: Query): TracedPlays
  /** Of all instances of play that this one knows. */
  all(query: Query): Promise<TracedPlays>
}

type Query = Omit<TracedPlaysQuery, 'local'>

type Deps = {
  kept: KeptTraces
  /** The clients of play. Its instances may include this one. */
  plays: readonly Pick<ServiceClient, 'name' | 'getAll'>[]
}

export function createPlayList({ kept, plays }: Deps): PlayList {
  function local({ limit, viewId }: Query): TracedPlays {
    const own = kept.all().flatMap((spans) => spans.flatMap(toPlay))
    const wanted = viewId === undefined ? own : own.filter((one) => one.viewId === viewId)
    return { traces: wanted.toSorted(newestFirst).slice(0, limit), missing: [] }
  }

  return {
    local,
    async all(query) {
      const { limit, viewId } = query
      const given = new URLSearchParams({
        local: 'true',
        limit: String(limit),
        ...(viewId !== undefined && { viewId }),
      })
      const signal = AbortSignal.timeout(TIMEOUT_MS)
      const responses = await Promise.all(plays.map((play) => play.getAll(`/traces?${given}`, signal)))
      const lists = responses
        .filter((instances) => !isItself(instances))
        .flat()
        .map(({ response }) => (response?.status === 200 ? parseSafely(TracedPlays, response.body).data : undefined))
      const own = local(query)
      if (lists.length === 0) return own
      const known = unique([own, ...lists].flatMap((list) => list?.traces ?? []))
      return {
        traces: known.toSorted(newestFirst).slice(0, limit),
        missing: lists.includes(undefined) ? [services.play.name] : [],
      }
    },
  }
}

/** Each play once: an instance may be this one. */
function unique(plays: readonly TracedPlay[]): TracedPlay[] {
  return [...new Map(plays.map((play) => [`${play.traceId} ${play.at}`, play])).values()]
}

function newestFirst(a: TracedPlay, b: TracedPlay): number {
  return byStart(b, a)
}

function toPlay({ kind, traceId, at, durationMs, attributes }: TraceSpan): TracedPlay[] {
  const { requestId, viewId, assetId, userId } = PLAY_ATTRIBUTES
  if (kind !== 'server' || attributes[assetId] === undefined) return []
  const view = attributes[viewId]
  return [
    {
      traceId,
      requestId: String(attributes[requestId]),
      viewId: view === undefined ? null : String(view),
      assetId: String(attributes[assetId]),
      userId: String(attributes[userId]),
      at,
      durationMs,
      status: Number(attributes['http.response.status_code']),
    },
  ]
}
