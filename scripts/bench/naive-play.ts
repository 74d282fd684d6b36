import { z } from 'zod'
import { type AssetCache, type AssetCacheOptions, toCached } from '../../play/asset-cache.ts'
import { type CountLookupDeps, createCountLookup, type LookUpCounts } from '../../play/count-lookup.ts'
import { type Append, createRecorder } from '../../play/recorder.ts'
import { play, type Strategies } from '../../play/service.ts'
import { runService } from '../../shared/service/run-service.ts'

/** The naive version of each strategy, keyed by its name in `NAIVE`. */
const naive = {
  cache: { createAssetCache: createUncachedLoader },
  lookups: { createCountLookup: createUnbatchedLookup },
  commit: { createRecorder: createSingleAppender },
} satisfies Record<string, Partial<Strategies>>

const NAIVE = z
  .string()
  .default('')
  .transform((text) => text.split(',').filter(Boolean))
  .pipe(z.array(z.enum(['cache', 'lookups', 'commit']), { error: 'must be a list of cache, lookups and commit' }))
  .meta({ description: 'Strategies to replace with naive versions, separated by commas' })

/** The play service with some of its optimizations replaced. */
await runService({
  ...play,
  settings: { ...play.settings, NAIVE },
  start(service, { NAIVE: names, ...settings }) {
    const replaced: Partial<Strategies> = {}
    for (const name of names) Object.assign(replaced, naive[name])
    return play.start(service, settings, replaced)
  },
})

/** Loads the asset on every play. */
function createUncachedLoader<Value>({ load, onRead }: AssetCacheOptions<Value>): AssetCache<Value> {
  return {
    async get(id, request) {
      onRead('miss', request)
      return toCached(load(id, request))
    },
    expire() {},
    expireAll() {},
  }
}

/** Sends one request per play, in parallel, because each play has its own batcher. */
function createUnbatchedLookup(deps: CountLookupDeps): LookUpCounts {
  return (play, request) => createCountLookup(deps)(play, request)
}

/** Appends one view at a time, each after the previous one is acknowledged. */
function createSingleAppender(deps: { append: Append; timeoutMs: number }) {
  return createRecorder({ ...deps, maxViews: 1 })
}
