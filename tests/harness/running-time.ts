import { setInterval } from 'node:timers'
import { setTimeout as sleep } from 'node:timers/promises'

const TICK_MS = 20

/** A longer time between two ticks counts as a pause, in which the machine or this process did not run. */
const MAX_STEP_MS = 60

/** Bound at load time, so that the clock stays real while a test replaces `performance.now`. */
const now = performance.now.bind(performance)

const clock = { isTicking: false, readAt: 0, runningMs: 0, pausedMs: 0 }

/**
 * A clock for upper bounds, in milliseconds. It stands still during pauses of the machine, of this process and of its
 * event loop, because a pause says nothing about the services under test. Otherwise, it measures real time.
 */
export function runningTime(): number {
  return read().runningMs
}

/** The total length of all pauses so far, in milliseconds. A load test can ignore failures during a pause. */
export function pausedTime(): number {
  return read().pausedMs
}

function read() {
  if (!clock.isTicking) {
    clock.isTicking = true
    clock.readAt = now()
    setInterval(read, TICK_MS).unref()
  }
  const stepMs = now() - clock.readAt
  const runningMs = Math.min(stepMs, MAX_STEP_MS)
  clock.readAt += stepMs
  clock.runningMs += runningMs
  clock.pausedMs += stepMs - runningMs
  return clock
}

/** Pauses that total less than this do not make a service exceed any of its time limits. */
const LONG_PAUSE_MS = 100

/** After a long pause, circuit breakers may stay open for this long. */
const RECOVERY_MS = 1_500

const MAX_RUNS = 3

/**
 * Runs a scenario, and repeats it if it fails after a long pause, because the pause may have exceeded one of the
 * services' time limits. Without a long pause, the first failure is final.
 */
export async function repeatAfterPause<Result>(scenario: () => Promise<Result>): Promise<Result> {
  for (let run = 1; ; run += 1) {
    const pausedBefore = pausedTime()
    try {
      return await scenario()
    } catch (error) {
      if (run === MAX_RUNS || pausedTime() - pausedBefore < LONG_PAUSE_MS) throw error
      await sleep(RECOVERY_MS)
    }
  }
}
