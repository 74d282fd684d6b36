import type { z } from 'zod'
import type { Changes } from '../shared/changes/changes.ts'
import { CdnUrl } from '../shared/contracts/cdn-url.ts'
import { Metadata } from '../shared/contracts/metadata.ts'
import type { Play } from '../shared/contracts/play.ts'
import type { Degraded } from '../shared/contracts/playback.ts'
import { AssetNotFound } from '../shared/contracts/status.ts'
import { LookedUpCounts, type PlayCounts } from '../shared/contracts/view-counts.ts'
import { expectBody, type ServiceClient } from '../shared/http/service-client.ts'
import { createBatcher } from '../shared/runtime/batcher.ts'
import type { Logger } from '../shared/runtime/log.ts'
import { UnavailableError } from '../shared/runtime/unavailable.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { PlayMetrics } from './metrics.ts'
import { createReadAlways, createReadOnce, type Held, observeReads, type ReadOnce } from './read-once.ts'
import type { Idea } from './settings.ts'

/** How long a play's questions may take. They are asked at once, so this bounds all of them together. */
const GATHER_MS = 500
const MAX_ASSETS_KEPT = 10_000
/** Plays whose counts are looked up with one request. */
const MAX_PLAYS_PER_LOOKUP = 1_000

/** What the other services say of a play. */
export type Gathered = {
  metadata: Metadata
  cdnUrl: CdnUrl
  /** The counts before this play; undefined while reporting is away. */
  counts: PlayCounts | undefined
  /** Whose answer is missing, or is what it said last. */
  degraded: Degraded[]
}

export type Sources = {
  /**
   * Asks all services at once. Undefined where metadata or cdnurl has no such asset.
   * @throws UnavailableError where one of them cannot be asked and never was
   */
  gather(play: Play, request: RequestContext): Promise<Gathered | undefined>
}

type Deps = {
  metadata: ServiceClient
  cdnurl: ServiceClient
  reporting: ServiceClient
  changes: Changes
  ttlMs: number
  log: Logger
  metrics: Pick<PlayMetrics, 'reads' | 'lookedUp'>
  without?: ReadonlySet<Idea>
}

export function createSources(deps: Deps): Sources {
  const { changes, ttlMs, log, without } = deps
  const createReader = without?.has('cache') ? createReadAlways : createReadOnce
  const kept = {
    metadata: readerOf('metadata', '/content', Metadata),
    cdnurl: readerOf('cdnurl', '/url', CdnUrl),
  }
  const lookUp = without?.has('group-lookups') ? createSingleLookup(deps) : createGroupLookup(deps)
  followChanges(changes, kept)

  function readerOf<Schema extends z.ZodType<object>>(source: 'metadata' | 'cdnurl', path: string, schema: Schema) {
    const reader = createReader({ load: assetLoader(deps[source], path, schema), ttlMs, max: MAX_ASSETS_KEPT })
    return observeReads(reader, deps.metrics.reads(source))
  }

  async function countsOf({ assetId, userId }: Play, { requestId, span: cause }: RequestContext) {
    const span = cause.child('look up counts')
    try {
      const { users, assets } = await lookUp({ assetId, userId, requestId, span })
      span.end()
      return { userviews: users[userId] ?? 0, assetviews: assets[assetId] ?? 0 }
    } catch (error) {
      span.end({ error })
      log.debug({ err: error, requestId, trace_id: span.traceId }, 'counts not read')
      return undefined
    }
  }

  return {
    async gather(play, request) {
      const [metadata, cdnUrl, counts] = await Promise.all([
        failureAsValue(kept.metadata.read(play.assetId, request)),
        failureAsValue(kept.cdnurl.read(play.assetId, request)),
        countsOf(play, request),
      ])
      if (!metadata || !cdnUrl) return undefined
      if (metadata instanceof Error) throw new UnavailableError('metadata was never read', { cause: metadata })
      if (cdnUrl instanceof Error) throw new UnavailableError('url was never read', { cause: cdnUrl })
      const degraded: Degraded[] = []
      if (metadata.stale) degraded.push('metadata')
      if (cdnUrl.stale) degraded.push('cdnurl')
      if (!counts) degraded.push('reporting')
      return { metadata: metadata.value, cdnUrl: cdnUrl.value, counts, degraded }
    },
  }
}

function assetLoader<Schema extends z.ZodType>(service: ServiceClient, path: string, schema: Schema) {
  return async (assetId: string, request: RequestContext): Promise<z.output<Schema> | undefined> => {
    const signal = AbortSignal.timeout(GATHER_MS)
    const answer = await service.get(`${path}/asset/${assetId}`, { signal, ...request })
    if (answer.status !== 404) return expectBody(answer, 200, schema)
    expectBody(answer, 404, AssetNotFound)
    return undefined
  }
}

type IdentifiedPlay = Play & RequestContext

/** One request asks for the counts of all plays that came while the one before was under way. */
function createGroupLookup({ reporting, metrics }: Pick<Deps, 'reporting' | 'metrics'>) {
  return createBatcher<IdentifiedPlay, LookedUpCounts>({
    maxItems: MAX_PLAYS_PER_LOOKUP,
    budgetMs: GATHER_MS,
    run(plays, signal) {
      metrics.lookedUp(plays.length)
      return lookUpCounts(reporting, plays, signal)
    },
  })
}

function createSingleLookup({ reporting }: Pick<Deps, 'reporting'>) {
  return (play: IdentifiedPlay) => lookUpCounts(reporting, [play], AbortSignal.timeout(GATHER_MS))
}

async function lookUpCounts(reporting: ServiceClient, plays: IdentifiedPlay[], signal: AbortSignal) {
  const ids = {
    assets: [...new Set(plays.map(({ assetId }) => assetId))],
    users: [...new Set(plays.map(({ userId }) => userId))],
  }
  const answer = await reporting.post('/events/lookup', ids, { signal, idempotent: true, ...causeOf(plays) })
  return expectBody(answer, 200, LookedUpCounts)
}

/** One request serves many plays: it belongs to the first whose trace is recorded, and is linked to the others'. */
function causeOf(plays: IdentifiedPlay[]) {
  const recorded = plays.filter(({ span }) => span.isRecorded)
  const { requestId, span } = (recorded[0] ?? plays[0]) as IdentifiedPlay
  return { requestId, span, links: recorded.slice(1).map(({ span }) => span) }
}

function followChanges(changes: Changes, kept: Record<string, ReadOnce<object>>): void {
  changes.subscribe(
    ({ service, id }) => Object.hasOwn(kept, service) && kept[service]?.expire(id),
    () => {
      for (const values of Object.values(kept)) values.expireAll()
    },
  )
}

/** A 404 of one service settles the play, whatever the other does: so a failure is a value until both have answered. */
function failureAsValue<Value>(reading: Held<Value> | undefined | Promise<Held<Value> | undefined>) {
  return reading instanceof Promise ? reading.catch((error: Error) => error) : reading
}
