import { hashViewer } from '../viewer-hash.ts'
import { createShardedMap, type FrozenMap } from './sharded-map.ts'
import { addViewer, countViewers, type ViewerSet } from './viewer-set.ts'

export type Viewers = {
  /** Determines each asset's shard; see ShardedMap. */
  seed: number
  add(assetId: string, userId: string): void
  /** The number of an asset's distinct viewers: exact up to 1,000, and within 2 % above that. */
  count(assetId: string): number
  /** Sets the viewers of an asset that has none. */
  restore(assetId: string, viewers: ViewerSet): void
  /** Takes a snapshot in constant time. The snapshot is valid until it is disposed. */
  freeze(): FrozenMap<ViewerSet>
}

/** Each asset's distinct viewers. */
export function createViewers(seed?: number): Viewers {
  const viewers = createShardedMap<ViewerSet>(seed)
  return {
    seed: viewers.seed,
    add(assetId, userId) {
      // No hash may be 0, because 0 marks a free slot in a table.
      const hash = hashViewer(userId) || 1
      viewers.update(assetId, (set, isFrozen) => addViewer(set, hash, isFrozen))
    },
    count: (assetId) => countViewers(viewers.get(assetId)),
    restore: viewers.restore,
    freeze: viewers.freeze,
  }
}
