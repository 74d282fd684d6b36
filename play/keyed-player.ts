import { HTTPException } from 'hono/http-exception'
import { LRUCache } from 'lru-cache'
import type { Play } from '../shared/contracts/play.ts'
import { KEY_MAX_AGE_MS } from '../shared/contracts/view.ts'
import type { KeyedPlay } from '../shared/contracts/view-counts.ts'
import { UnavailableError } from '../shared/runtime/unavailable-error.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { Aggregator } from './aggregate.ts'
import { toEventId } from './idempotency-key.ts'
import { addView, type Played } from './playback.ts'
import { durationOf, type Recorder } from './recorder.ts'
import { type Audience, findRefusal, type Refused } from './rights/entitlement.ts'

/** Maximum number of remembered keys, at about 150 bytes each. */
const MAX_KEYS = 100_000

/**
 * A retry waits for the play in flight with the same key. If that play fails, is refused or is for another asset, the
 * retry may wait for up to this many further plays.
 */
const MAX_WAITS = 2

/** `recorded`: the key is new. `retried`: its view was recorded earlier. `reused`: it was used for another asset. */
export const IDEMPOTENCY_OUTCOMES = ['recorded', 'retried', 'reused'] as const
export type IdempotencyOutcome = (typeof IDEMPOTENCY_OUTCOMES)[number]

type Result = Played | Refused | undefined

/** Like Player, for plays with an idempotency key. */
export type KeyedPlayer = (
  play: Play,
  request: RequestContext,
  options: { audience: Audience; key: string },
) => Promise<Result>

type Deps = {
  aggregate: Aggregator
  record: Recorder
  onOutcome: (outcome: IdempotencyOutcome) => void
  maxKeys?: number
}

type Flight = { assetId: string; played: Promise<Result> }

/** A play with its view's event id. */
type Identified = Play & { viewId: string; audience: Audience }

/**
 * Detects a retry if the original play is in flight in this process, was recently recorded here, or has been counted by
 * reporting. A detected retry records nothing. An undetected retry is recorded again with the same event id, so that
 * reporting drops it as a duplicate.
 */
export function createKeyedPlayer({ aggregate, record, onOutcome, maxKeys = MAX_KEYS }: Deps): KeyedPlayer {
  /** The asset ids of recorded views, by event id. */
  const recordedAssets = new LRUCache<string, string>({ max: maxKeys, ttl: KEY_MAX_AGE_MS })
  const flights = new Map<string, Flight>()

  async function playOnce({ viewId, audience, ...play }: Identified, request: RequestContext): Promise<Result> {
    const found = await aggregate({ ...play, keyedId: viewId }, request)
    if (!found) return undefined
    const { asset, counting } = found
    const refused = findRefusal(asset.metadata, audience)
    if (refused) return refused
    const counts = await counting
    const counted = unlessExpired(counts?.original)
    const original = counted ?? recordedPlay(play.userId, viewId)
    if (original) {
      if (original.assetId !== play.assetId || original.userId !== play.userId) throw reused()
      onOutcome('retried')
      return { viewId, asset, counts: counted ? counts : addView(counts), place: undefined }
    }
    const { place } = await record({ ...play, id: viewId, keyed: true, ...durationOf(asset.metadata) }, request)
    recordedAssets.set(viewId, play.assetId)
    onOutcome('recorded')
    return { viewId, asset, counts: addView(counts), place }
  }

  function recordedPlay(userId: string, viewId: string): Play | undefined {
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
      // Rights depend on the viewer, so the refusal of the play in flight does not apply to this play.
      if (played && 'reasons' in played) continue
      const refused = played && findRefusal(played.asset.metadata, audience)
      if (played && !refused) onOutcome('retried')
      return refused ?? played
    }
    throw new UnavailableError('too many plays with the same idempotency key are in flight')
  }
}

/** Returns undefined if the play fails, because another request with the same key may still succeed. */
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
