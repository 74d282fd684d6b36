import type { DependencyState } from '../../shared/contracts/readiness.ts'
import type { Logger } from '../../shared/runtime/log.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import { createTransitionLog } from '../../shared/runtime/transition-log.ts'
import type { FetchedJwks } from './fetch-jwks.ts'
import { type KeySet, parseKeySet } from './key-set.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** How long keys stay fresh: the provider's max-age, within these bounds. Keys are refreshed after half that time. */
const AGE = { min: MINUTE_MS, default: 10 * MINUTE_MS, max: HOUR_MS }
const FETCH_TIMEOUT_MS = 3_000
/** How long the last good keys are used while the provider is down. */
const MAX_STALE_MS = 24 * HOUR_MS
const UNKNOWN_KEY_INTERVAL_MS = 30_000
/** How many tokens with an unknown key may wait for a fetch. */
const MAX_WAITING = 100
/** The backoff for retries while there are no keys. While there are keys, each retry waits `maxMs`. */
const RETRY = { initialMs: 1_000, maxMs: 30_000 }

export type JwksCache = AsyncDisposable & {
  /** The last good keys. Undefined before the first successful fetch, and once 24 h have passed since the last one. */
  keys(): KeySet | undefined
  /**
   * Fetches the keys, at most once every 30 s. Called for a token that names an unknown key. Resolves when the fetch in
   * flight ends, even if it fails, and immediately if no fetch is in flight.
   */
  refresh(): Promise<void>
  state(): DependencyState
  /** Why the last fetch failed. */
  reason(): string | undefined
  /** The time since the last successful fetch in milliseconds; undefined before the first one. */
  ageMs(): number | undefined
  /** Fetches the keys, and keeps them fresh until the cache is disposed. */
  start(): void
}

type Deps = {
  fetch: (signal: AbortSignal) => Promise<FetchedJwks>
  log: Logger
  onFetch: (outcome: 'succeeded' | 'failed') => void
}

/**
 * Caches the identity provider's keys. While the provider is down, jose's own remote key set fails as soon as its keys
 * are stale, and then fetches them for every token. This cache replaces good keys only with good ones, and its fetch
 * rate does not depend on the tokens that arrive.
 */
export function createJwksCache({ fetch, log, onFetch }: Deps): JwksCache {
  const shutdown = new AbortController()
  let held: { keys: KeySet; at: number } | undefined
  let failure: string | undefined
  let failures = 0
  let loading: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let lastRefresh = Number.NEGATIVE_INFINITY
  let waiting = 0
  const report = createTransitionLog(log, {
    failing: "cannot fetch the identity provider's keys; using the last good keys for up to 24 h",
    recovered: "fetching the identity provider's keys works again",
  })

  async function load(): Promise<void> {
    const at = performance.now()
    try {
      const { text, maxAgeMs } = await fetch(AbortSignal.any([shutdown.signal, AbortSignal.timeout(FETCH_TIMEOUT_MS)]))
      held = { keys: await parseKeySet(text), at }
      failure = undefined
      failures = 0
      report()
      onFetch('succeeded')
      schedule(Math.min(Math.max(maxAgeMs ?? AGE.default, AGE.min), AGE.max) / 2)
    } catch (error) {
      if (shutdown.signal.aborted) return
      failure = toReason(error)
      report(error)
      onFetch('failed')
      schedule(held ? RETRY.maxMs : Math.min(RETRY.initialMs * 2 ** failures, RETRY.maxMs))
      failures += 1
    }
  }

  function loadOnce(): Promise<void> {
    loading ??= load().finally(() => {
      loading = undefined
    })
    return loading
  }

  function schedule(ms: number): void {
    clearTimeout(timer)
    if (!shutdown.signal.aborted) timer = setTimeout(loadOnce, ms)
  }

  const ageMs = () => held && performance.now() - held.at

  return {
    keys: () => ((ageMs() ?? Number.POSITIVE_INFINITY) < MAX_STALE_MS ? held?.keys : undefined),
    async refresh() {
      const isDue = performance.now() - lastRefresh >= UNKNOWN_KEY_INTERVAL_MS
      if (isDue) lastRefresh = performance.now()
      if ((!isDue && !loading) || waiting >= MAX_WAITING) return
      waiting += 1
      await loadOnce()
      waiting -= 1
    },
    state: () => (failure ? 'down' : held ? 'up' : 'unknown'),
    reason: () => failure,
    ageMs,
    start() {
      void loadOnce()
    },
    async [Symbol.asyncDispose]() {
      shutdown.abort()
      clearTimeout(timer)
      await loading
    },
  }
}
