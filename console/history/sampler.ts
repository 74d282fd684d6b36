import { services } from '../../services.ts'
import type { Logger } from '../../shared/runtime/log.ts'
import { isLocked } from '../../shared/runtime/sqlite.ts'
import { createTransitionLog } from '../../shared/runtime/transition-log.ts'
import type { Counters } from './counters.ts'
import type { Observation, Observe } from './observe.ts'
import { createOutageTracker } from './outages.ts'
import { type Reading, toP99s, toSample } from './readings.ts'
import { createStarts } from './starts.ts'
import { type HistoryStore, type Sample, startOf } from './store.ts'

const SECOND_MS = 1_000
/** Tolerance for a timer that fires early. */
const EARLY_MS = 50
/** If there is no sample for this long, the process was suspended, blocked or not running. */
const GAP_MS = 3_000
/** If the wall clock and the monotonic clock diverge by more than this, the wall clock was changed. */
const CLOCK_STEP_MS = 1_000
/** An observation that takes longer than this is discarded, because this process was suspended or blocked. */
const MAX_OBSERVATION_MS = 900
const PRUNE_MS = 60_000
/** Percentiles cover this many seconds. */
const WINDOW = 5
/** Maximum number of samples to keep in memory while the file cannot be written. */
const MAX_UNWRITTEN = 60
/** A locked history file is logged only after the lock has delayed more samples than this. */
const MAX_DELAYED = 5

const PLAY = { service: services.play.name, instance: '', state: 'down' } as const

export type Clock = { wall: () => number; monotonic: () => number }

type Deps = {
  store: HistoryStore
  readCounters: () => Promise<Counters>
  observe: Observe
  /** The number of views in the outbox. The function may throw. */
  backlog?: (() => number) | undefined
  /** When this process started (RFC 3339). */
  startedAt: string
  log: Logger
  clock?: Clock
}

export type Sampler = {
  /** Records an outage for the time during which no edge process was running. */
  start(): void
  /** Takes a sample of the second that has just ended. */
  sample(): Promise<void>
  /** The 99th percentiles that this process measured in the last few seconds, in milliseconds, keyed by `from to`. */
  p99s(): Map<string, number | null>
  /** Milliseconds until the next sample is due. */
  untilNext(): number
}

const systemClock: Clock = { wall: () => Date.now(), monotonic: () => performance.now() }

/**
 * Samples play's counters and the system's state. Gaps are not filled: a process that is suspended observes nothing.
 */
export function createSampler({
  store,
  readCounters,
  observe,
  backlog,
  startedAt,
  log,
  clock = systemClock,
}: Deps): Sampler {
  const outages = createOutageTracker()
  const starts = createStarts(store, startedAt)
  const readings: Reading[] = []
  let unwritten: Sample[] = []
  let last: { wall: number; monotonic: number } | undefined
  let prunedAt = Number.NEGATIVE_INFINITY
  const reportStore = createTransitionLog(log, {
    failing: 'cannot write the history',
    recovered: 'the history can be written again',
  })

  function readBacklog(): number | null {
    try {
      return backlog ? backlog() : null
    } catch {
      return null
    }
  }

  /** Returns undefined if this process was suspended or blocked during the observation. */
  async function observeInTime(): Promise<Observation | undefined> {
    const start = clock.monotonic()
    const observation = await observe()
    return clock.monotonic() - start > MAX_OBSERVATION_MS ? undefined : observation
  }

  /**
   * Records an outage if no process has taken a sample for too long. A clock change is not an outage.
   * @returns false if this process has not run continuously since the last sample
   */
  function checkContinuity(now: { wall: number; monotonic: number }): boolean {
    const elapsed = last ? now.monotonic - last.monotonic : 0
    const clockStep = last ? now.wall - last.wall - elapsed : 0
    last = now
    const isClockStep = Math.abs(clockStep) > CLOCK_STEP_MS
    if (!isClockStep && elapsed <= GAP_MS) return true
    outages.reset()
    if (clockStep < -CLOCK_STEP_MS) prunedAt = Number.NEGATIVE_INFINITY
    if (!isClockStep) attempt(() => recordAbsence(now.wall, 'suspended or blocked'))
    return false
  }

  function recordAbsence(now: number, reason: string): void {
    const seen = store.last(now)
    if (seen !== undefined && now - seen > GAP_MS + SECOND_MS)
      store.addOutage({ ...PLAY, reason }, seen + SECOND_MS, now)
  }

  function write(now: number, observation: Observation | undefined): void {
    store.atomically(() => {
      for (const sample of unwritten) store.add(sample)
      starts.recordOwn(now)
      if (now - prunedAt > PRUNE_MS) {
        store.prune(now)
        prunedAt = now
      }
      if (!observation) return
      const { failing, recovered } = outages.observe(now, observation.subjects)
      for (const { start, ...failure } of failing) store.fail(failure, start, now)
      for (const failure of recovered) store.recover(failure, now)
      starts.record(observation.starts, now)
    })
    unwritten = []
  }

  function attempt(work: () => void): void {
    try {
      work()
      reportStore()
    } catch (error) {
      // A locked file means that another edge process is writing. The next attempt also writes this sample.
      if (!isLocked(error) || unwritten.length > MAX_DELAYED) reportStore(error)
      unwritten = unwritten.slice(-MAX_UNWRITTEN)
    }
  }

  return {
    start() {
      const now = clock.wall()
      last = { wall: now, monotonic: clock.monotonic() }
      attempt(() => recordAbsence(now, 'not running'))
    },
    async sample() {
      const now = { wall: clock.wall(), monotonic: clock.monotonic() }
      // A sample belongs to the second that has just ended. After a gap, the timer may fire in the middle of a second;
      // the sample then belongs to that second.
      const second = checkContinuity(now) ? startOf(now.wall + EARLY_MS, 1) - SECOND_MS : startOf(now.wall, 1)
      const earlier = readings.at(-1)
      const [counters, observation] = await Promise.all([readCounters(), observeInTime()])
      const reading = { counters, backlog: readBacklog(), deliveries: observation?.deliveries ?? [] }
      readings.push(reading)
      if (readings.length > WINDOW + 1) readings.shift()
      unwritten.push(toSample(second, reading, earlier))
      attempt(() => write(now.wall, observation))
    },
    p99s() {
      const latest = readings.at(-1)
      const earliest = readings.length > WINDOW ? readings[0] : undefined
      return latest ? toP99s(latest, earliest) : new Map()
    },
    untilNext() {
      const now = clock.wall()
      return startOf(now + EARLY_MS, 1) + SECOND_MS - now
    },
  }
}
