import type { Logger } from '../../shared/runtime/log.ts'
import { duration } from '../../shared/runtime/settings.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import type { Metrics } from '../../shared/service/metrics.ts'
import type { CountStore, ReportObserver } from '../count-store.ts'
import type { Capacity } from './capacity.ts'
import { openCheckpointFile } from './checkpoint-file.ts'
import { exposeCheckpoints } from './checkpoint-metrics.ts'
import { startCheckpoints } from './checkpoints.ts'
import { createCountState } from './count-state.ts'
import { createLoadingStore } from './loading-store.ts'
import { createMapCountStore } from './map-count-store.ts'

export const checkpointEvery = duration(
  '30s',
  'How often reporting saves changed counts to a checkpoint in DATA_DIR; 0s: never, and none is loaded',
)

/** Most checkpoints are loaded within this time, so that the first request already finds the counts. */
const USUAL_LOAD_MS = 500

type Options = {
  /** The path of the checkpoint without its extension. */
  path: string
  /** The interval between two checkpoints; 0 for no checkpoints. */
  everyMs: number
  capacity: Capacity
  onReport: ReportObserver
  log: Logger
  metrics: Metrics
  resources: AsyncDisposableStack
}

/**
 * Opens the counts in memory, as the last checkpoint left them. If loading takes long, returns a store that is
 * unavailable until the checkpoint is loaded.
 * @throws StartError if another process uses the checkpoint
 */
export async function openMapCountStore({
  path,
  everyMs,
  capacity,
  onReport,
  ...service
}: Options): Promise<CountStore> {
  const { log, metrics, resources } = service
  if (everyMs === 0) return createMapCountStore({ capacity, onReport })
  const file = resources.use(await openCheckpointFile(path, log))
  const closing = new AbortController()

  async function load() {
    const state = (await file.load(closing.signal)) ?? createCountState()
    const checkpoints = startCheckpoints({ file, state, everyMs, log })
    exposeCheckpoints(metrics, checkpoints)
    return { checkpoints, store: createMapCountStore({ capacity, onReport, state }) }
  }

  const loading = load()
  resources.defer(async () => {
    closing.abort()
    const loaded = await loading.catch(() => undefined)
    await loaded?.checkpoints[Symbol.asyncDispose]()
  })
  const store = createLoadingStore(loading.then(({ store }) => store))
  const waiting = new AbortController()
  await Promise.race([store.loaded, sleep(USUAL_LOAD_MS, waiting.signal)])
  waiting.abort()
  return store
}
