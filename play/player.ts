import { randomUUIDv7 } from 'node:crypto'
import type { Play } from '../shared/contracts/play.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { Aggregator } from './aggregate.ts'
import type { KeyedPlayer } from './keyed-player.ts'
import { type Played, withRecorded } from './playback.ts'
import { durationOf, type Recorder } from './recorder.ts'
import { type Audience, findRefusal, type Refused } from './rights/entitlement.ts'

export type PlayOptions = {
  /** What is known about the viewer, for assets with rights. */
  audience: Audience
  /** At most one of a user's plays with the same idempotency key counts as a view. */
  key?: string | undefined
}

/**
 * Gathers the data for a play, and records its view while the counts are in flight. Resolves to undefined if there is no
 * such asset.
 * @throws UnavailableError, or HTTPException if the key was used for another play
 */
export type Player = (
  play: Play,
  request: RequestContext,
  options: PlayOptions,
) => Promise<Played | Refused | undefined>

type Deps = { aggregate: Aggregator; record: Recorder; playKeyed: KeyedPlayer }

export function createPlayer({ aggregate, record, playKeyed }: Deps): Player {
  return async function playAsset(play, request, { audience, key }) {
    if (key !== undefined) return playKeyed(play, request, { audience, key })
    const found = await aggregate(play, request)
    if (!found) return undefined
    const { asset, counting } = found
    const refused = findRefusal(asset.metadata, audience)
    if (refused) return refused
    const viewId = randomUUIDv7()
    const recording = record({ ...play, id: viewId, ...durationOf(asset.metadata) }, request)
    const [recorded, counts] = await Promise.all([recording, counting])
    return { viewId, asset, place: recorded.place, counts: withRecorded(counts, recorded) }
  }
}
