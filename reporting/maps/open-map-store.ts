import type { LogPosition } from '../../shared/contracts/position.ts'
import type { Logger } from '../../shared/runtime/log.ts'
import { duration } from '../../shared/runtime/settings.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import type { Metrics } from '../../shared/service/metrics.ts'
import type { CountStore, ReportObserver } from '../count-store.ts'
import { DEFAULT_RULES, type RulesVersion } from '../rules/rule-sets.ts'
import type { Capacity } from './capacity.ts'
import { exposeCapacity } from './capacity-metrics.ts'
import { ForeignCheckpointError, openCheckpointFile } from './checkpoint-file.ts'
import { exposeCheckpoints } from './checkpoint-metrics.ts'
import { type Checkpoints, startCheckpoints } from './checkpoints.ts'
import { type CountState, createCountState } from './count-state.ts'
import { DEFAULT_KEPT, type Kept } from './kept.ts'
import { createLoadingStore } from './loading-store.ts'
import { createMapCountStore } from './map-count-store.ts'
import { createVerifiedStore } from './verified-store.ts'

export const checkpointEvery = duration(
  '30s',
  'How often reporting saves changed counts to a checkpoint in DATA_DIR; 0s: no checkpoint is saved or loaded',
)

/** Most checkpoints load within this time, so even the first request gets counts. */
const USUAL_LOAD_MS = 500

type Options = {
  /** The checkpoint's path without its extension. */
  path: string
  /** The interval between two checkpoints; 0 for no checkpoints. */
  everyMs: number
  capacity: Capacity
  /** How many recent events to keep. */
  kept?: Kept
  rules?: RulesVersion
  onReport: ReportObserver
  log: Logger
  metrics: Metrics
  resources: AsyncDisposableStack
}

/**
 * Restores the in-memory counts from the last checkpoint. If loading takes too long, returns a store that is
 * unavailable until the checkpoint is loaded.
 * @throws StartError if another process uses the checkpoint, or its views were judged by other rules
 */
export async function openMapCountStore({
  path,
  everyMs,
  capacity,
  kept = DEFAULT_KEPT,
  rules = DEFAULT_RULES,
  onReport,
  ...service
}: Options): Promise<CountStore> {
  const { log, metrics, resources } = service
  let current: CountState | undefined
  exposeCapacity(metrics, capacity, () => current?.counts)

  const create = () => createCountState({ kept, rules })
  function createStore(state: CountState): CountStore {
    current = state
    return createMapCountStore({ capacity, onReport, state })
  }

  if (everyMs === 0) return createStore(create())
  const file = resources.use(await openCheckpointFile(path, log))
  await file.assertRules(rules)
  const shutdown = new AbortController()

  let checkpoints: Checkpoints | undefined

  function open(state: CountState): CountStore {
    checkpoints = startCheckpoints({ file, state, everyMs, log })
    return createStore(state)
  }

  async function startOver(loaded: LogPosition, found: string): Promise<CountStore> {
    await checkpoints?.[Symbol.asyncDispose]()
    const reason = `it contains counts from the log ${loaded.incarnation}, but the log is ${found}`
    await file.setAside(new ForeignCheckpointError(reason))
    return open(create())
  }

  async function load(): Promise<CountStore> {
    const state = (await file.load(shutdown.signal, { kept, rules })) ?? create()
    const store = open(state)
    exposeCheckpoints(metrics, () => checkpoints?.status())
    const { position } = state
    return position ? createVerifiedStore(store, position.incarnation, (found) => startOver(position, found)) : store
  }

  const loading = load()
  resources.defer(async () => {
    shutdown.abort()
    await loading.catch(() => undefined)
    await checkpoints?.[Symbol.asyncDispose]()
  })
  const store = createLoadingStore(loading)
  const timeout = new AbortController()
  await Promise.race([store.loaded, sleep(USUAL_LOAD_MS, timeout.signal)])
  timeout.abort()
  return store
}
