import { services } from '../../services.ts'
import type { Observation } from './observe.ts'
import type { HistoryStore } from './store.ts'

/** Within this time after the start of this process, every other running process takes a sample. */
const OWN_START_AFTER_MS = 4_000
const SAVE_MS = 10_000
/** How far another machine's clock may lag behind the edge's clock. */
const TOLERANCE_MS = 5_000

/** An earlier process of an instance: when it started according to its own clock, and when the edge last saw it. */
type KnownStart = { startedAt: string; seenAt: number }

/**
 * Adds a restart to the history whenever a process has replaced an earlier one.
 * @param startedAt when this process started (RFC 3339)
 */
export function createStarts(store: HistoryStore, startedAt: string) {
  const cachedInstances = new Map<string, KnownStart & { savedAt: number }>()
  const ownSubject = { service: services.play.name, instance: '' }
  const ownStart = Date.parse(startedAt)
  let isOwnRecorded = false

  return {
    /**
     * Records the start of this process as a restart if this process replaces one that has ended. Each ended process
     * has at most one replacement; any further new process is an additional one.
     */
    recordOwn(now: number): void {
      if (isOwnRecorded || now < ownStart + OWN_START_AFTER_MS) return
      const replaced = store
        .restarts(0, now)
        .filter(({ service, instance }) => service === ownSubject.service && !instance)
      if (store.ended(ownStart) > replaced.length) store.addRestart(ownSubject, ownStart)
      isOwnRecorded = true
    },
    record(starts: Observation['starts'], now: number): void {
      for (const { service, instance, url, startedAt } of starts) {
        const subject = { service, instance: url }
        const cached = cachedInstances.get(`${service} ${url}`)
        const isSaved = cached?.startedAt === startedAt && now - cached.savedAt < SAVE_MS
        if (!isSaved) {
          const stored = store.instance(subject)
          const seenAt = Math.max(stored?.seenAt ?? 0, cached?.seenAt ?? 0)
          const restart = toRestart(startedAt, stored && { ...stored, seenAt }, now)
          if (restart !== undefined) store.addRestart({ service, instance }, restart)
          // Two processes share this URL, so the newer process did not replace this one.
          const isOlder = stored !== undefined && stored.startedAt > startedAt
          if (isOlder) store.removeRestarts({ service, instance }, Date.parse(startedAt))
          store.setInstance(subject, isOlder ? stored.startedAt : startedAt, now)
        }
        cachedInstances.set(`${service} ${url}`, { startedAt, seenAt: now, savedAt: isSaved ? cached.savedAt : now })
      }
    },
  }
}

/**
 * The time of a restart, as reported by the new process. That process's clock may be wrong, so the time is clamped to
 * the interval between the observations before and after the restart. If a process started while the edge still saw an
 * earlier process, the two share one URL, and there was no restart.
 * @returns undefined if the process did not replace an earlier process
 */
function toRestart(startedAt: string, predecessor: KnownStart | undefined, now: number): number | undefined {
  const start = Date.parse(startedAt)
  if (!predecessor || start <= Date.parse(predecessor.startedAt) || start < predecessor.seenAt - TOLERANCE_MS)
    return undefined
  return Math.min(now, Math.max(predecessor.seenAt, start))
}
