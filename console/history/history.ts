import { randomUUID } from 'node:crypto'
import type { Registry } from 'prom-client'
import { services } from '../../services.ts'
import type { ServiceClient } from '../../shared/client/service-client.ts'
import type { History, HistoryRange } from '../../shared/contracts/history.ts'
import type { DependencyState } from '../../shared/contracts/readiness.ts'
import type { Traffic } from '../../shared/contracts/system-status.ts'
import { cacheFor } from '../../shared/runtime/cache-for.ts'
import type { Logger } from '../../shared/runtime/log.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import { createTransitionLog } from '../../shared/runtime/transition-log.ts'
import type { Health } from '../../shared/service/health.ts'
import { readCounters } from './counters.ts'
import { createObserver } from './observe.ts'
import { openHistory } from './open-history.ts'
import { readRange } from './ranges.ts'
import { createSampler } from './sampler.ts'
import { readTraffic } from './traffic.ts'

/** Requests within this time share one result, so the work does not grow with the number of open pages. */
const CACHE_MS = 1_000

type Deps = {
  /** The file that the processes of one edge share, or `:memory:`. */
  file: string
  metrics: Registry
  clients: readonly Pick<ServiceClient, 'name' | 'instances'>[]
  /** The states of play's own dependencies. */
  dependencies: Record<string, () => DependencyState>
  backlog?: (() => number) | undefined
  health: Pick<Health, 'startedAt'>
  log: Logger
}

/** The system's history, recorded whether or not a page is open. */
export type SystemHistory = AsyncDisposable & {
  /** Takes a sample every second until disposed. */
  start(): void
  /** Reads the history for a range. The result may be a second old. */
  read(range: HistoryRange): Promise<History>
  /** The traffic of the last few seconds; undefined before the first sample, or while the file cannot be read. */
  traffic(): Traffic | undefined
}

export function createHistory({ file, metrics, clients, dependencies, backlog, health, log }: Deps): SystemHistory {
  const shutdown = new AbortController()
  const store = openHistory(file, randomUUID().slice(0, 8), log)
  const observeAll = createObserver({ clients, dependencies })
  const names = [services.play.name, ...clients.map(({ name }) => name), ...Object.keys(dependencies)]
  const observed = new Set<string>(names)
  async function observe() {
    const observation = await observeAll()
    for (const { service } of observation.subjects) observed.add(service)
    return observation
  }
  const { startedAt } = health
  const readOwn = () => readCounters(metrics)
  const sampler = createSampler({ store, readCounters: readOwn, observe, backlog, startedAt, log })
  const cached = (range: HistoryRange) =>
    cacheFor(CACHE_MS, async () => readRange(store, [...observed], range, Date.now()))
  const readers: Record<HistoryRange, () => Promise<History>> = {
    '5m': cached('5m'),
    '1h': cached('1h'),
    '24h': cached('24h'),
  }
  const report = createTransitionLog(log, {
    failing: 'cannot take samples for the history',
    recovered: 'taking samples for the history again',
  })
  let running: Promise<void> | undefined

  async function run(): Promise<void> {
    sampler.start()
    while (!shutdown.signal.aborted) {
      await sleep(sampler.untilNext(), shutdown.signal)
      if (!shutdown.signal.aborted) await sampler.sample().then(() => report(), report)
    }
  }

  return {
    start() {
      running ??= run()
    },
    read: (range) => readers[range](),
    traffic() {
      try {
        return readTraffic(store, sampler.p99s(), Date.now())
      } catch {
        return undefined
      }
    },
    async [Symbol.asyncDispose]() {
      shutdown.abort()
      await running
      store[Symbol.dispose]()
    },
  }
}
