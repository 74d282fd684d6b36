import { randomUUIDv7 } from 'node:crypto'
import type { Play } from '../shared/contracts/play.ts'
import type { RequestContext } from '../shared/tracing/tracing.ts'
import type { Aggregator } from './aggregate.ts'
import type { KeyedPlayer } from './keyed-player.ts'
import type { Played } from './playback.ts'
import type { Recorder } from './recorder.ts'

/**
 * Gathers the data for a play, and records its view. With an idempotency key, at most one of the plays of a user with
 * that key is a view. Undefined if there is no such asset.
 * @throws UnavailableError, or HTTPException if the key is that of another play
 */
export type Player = (play: Play, request: RequestContext, key?: string) => Promise<Played | undefined>

type Deps = { aggregate: Aggregator; record: Recorder; playKeyed: KeyedPlayer }

export function createPlayer({ aggregate, record, playKeyed }: Deps): Player {
  return async function playAsset(play, request, key) {
    if (key !== undefined) return playKeyed(play, request, key)
    const found = await aggregate(play, request)
    if (!found) return undefined
    const viewId = randomUUIDv7()
    const place = await record({ ...play, id: viewId }, request)
    return { viewId, found, place, isCounted: false }
  }
}
