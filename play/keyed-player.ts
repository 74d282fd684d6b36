import { HTTPException } from 'hono/http-exception'
import { LRUCache } from 'lru-cache'
import type { Play } from '../shared/contracts/play.ts'
import { KEY_MAX_AGE_MS } from '../shared/contracts/view.ts'
import type { KeyedPlay } from '../shared/contracts/view-counts.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { Aggregator } from './aggregate.ts'
import { toEventId } from './idempotency-key.ts'
import type { Played } from './playback.ts'
import { durationOf, type Recorder } from './recorder.ts'
import { type Audience, findRefusal, type Refused } from './rights/entitlement.ts'

/** About 150 bytes each. */
const MAX_KNOWN = 100_000

/** How many more plays a retry waits for, after a play that fails or is for another asset. Bounds the wait. */
const MAX_WAITS = 2

/** `recorded`: a new key. `retried`: its view was recorded earlier. `reused`: the key was used for another asset. */
export const IDEMPOTENCY_OUTCOMES = ['recorded', 'retried', 'reused'] as const
export type IdempotencyOutcome = (typeof IDEMPOTENCY_OUTCOMES)[number]

type Result = Played | Refused | undefined

/** A play with an idempotency key; see Player. */
export type KeyedPlayer = (
  play: Play,
  request: RequestContext,
  options: { audience: Audience; key: string },
) => Promise<Result>

type Deps = {
  aggregate: Aggregator
  record: Recorder
  onOutcome: (outcome: IdempotencyOutcome) => void
  maxKnown?: number
}

type Flight = { assetId: string; played: Promise<Result> }

/** A play with the event id of its view. */
type Identified = Play & { viewId: string; audience: Audience }

/**
 * Recognizes a retry if its play is in flight in this process, was recently recorded here, or was counted by reporting,
 * and then records no other view. A retry that is not recognized is recorded again with the same event id, so that
 * reporting drops it.
 */
export function createKeyedPlayer({ aggregate, record, onOutcome, maxKnown = MAX_KNOWN }: Deps): KeyedPlayer {
  /** The assets of recorded views by event id. */
  const recordedAssets = new LRUCache<string, string>({ max: maxKnown, ttl: KEY_MAX_AGE_MS })
  const flights = new Map<string, Flight>()

  async function playOnce({ viewId, audience, ...play }: Identified, request: RequestContext): Promise<Result> {
    const found = await aggregate({ ...play, keyedId: viewId }, request)
    if (!found) return undefined
    const refused = findRefusal(found.metadata, audience)
    if (refused) return refused
    const counted = unlessExpired(found.counts?.original)
    const original = counted ?? knownPlay(play.userId, viewId)
    if (original) {
      if (original.assetId !== play.assetId || original.userId !== play.userId) throw reused()
      onOutcome('retried')
      return { viewId, found, place: undefined, isCounted: counted !== undefined }
    }
    const place = await record({ ...play, id: viewId, keyed: true, ...durationOf(found.metadata) }, request)
    recordedAssets.set(viewId, play.assetId)
    onOutcome('recorded')
    return { viewId, found, place, isCounted: false }
  }

  function knownPlay(userId: string, viewId: string): Play | undefined {
    const assetId = recordedAssets.get(viewId)
    return assetId === undefined ? undefined : { assetId, userId }
  }

  function reused(): HTTPException {
    onOutcome('reused')
    return new HTTPException(422, { message: 'the idempotency key was used for another asset' })
  }

  async function start(play: Identified, request: RequestContext): Promise<Result> {
    const { assetId, viewId } = play
    const flight: Flight = { assetId, played: playOnce(play, request) }
    flights.set(viewId, flight)
    try {
      return await flight.played
    } finally {
      if (flights.get(viewId) === flight) flights.delete(viewId)
    }
  }

  return async function playKeyed(play, request, { audience, key }) {
    const viewId = toEventId(play.userId, key)
    for (let waits = 0; waits <= MAX_WAITS; waits += 1) {
      const flight = flights.get(viewId)
      if (!flight) return start({ ...play, viewId, audience }, request)
      const settled = await settle(flight.played)
      if (!settled || flight.assetId !== play.assetId) continue
      const { played } = settled
      // The refused play may have been another viewer's.
      if (played && 'reasons' in played) continue
      const refused = played && findRefusal(played.found.metadata, audience)
      if (played && !refused) onOutcome('retried')
      return refused ?? played
    }
    throw new UnavailableError('too many plays with the same idempotency key are in flight')
  }
}

/** Undefined if the play fails: another request with the same key may still succeed. */
async function settle(playing: Promise<Result>): Promise<{ played: Result } | undefined> {
  try {
    return { played: await playing }
  } catch {
    return undefined
  }
}

function unlessExpired(original: KeyedPlay | undefined): KeyedPlay | undefined {
  return original && Date.now() - Date.parse(original.at) <= KEY_MAX_AGE_MS ? original : undefined
}
