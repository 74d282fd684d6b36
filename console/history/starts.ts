import { services } from '../../services.ts'
import type { Observation } from './observe.ts'
import { type Known, toRestart } from './restarts.ts'
import type { HistoryStore } from './store.ts'

/** After this long, every process that is still running has taken a sample. */
const OWN_START_AFTER_MS = 4_000
const SAVE_MS = 10_000

/**
 * Adds the starts of processes that replaced others to the history, as restarts.
 * @param startedAt when this process started (RFC 3339)
 */
export function createStarts(store: HistoryStore, startedAt: string) {
  const cachedInstances = new Map<string, Known & { savedAt: number }>()
  const ownSubject = { service: services.play.name, instance: '' }
  const ownStart = Date.parse(startedAt)
  let isOwnNoted = false

  return {
    /**
     * For each process that has ended, one start counts as a restart. All other starts are of additional processes,
     * such as the first ones.
     */
    noteOwn(now: number): void {
      if (isOwnNoted || now < ownStart + OWN_START_AFTER_MS) return
      const replaced = store
        .restarts(0, now)
        .filter(({ service, instance }) => service === ownSubject.service && !instance)
      if (store.ended(ownStart) > replaced.length) store.addRestart(ownSubject, ownStart)
      isOwnNoted = true
    },
    note(starts: Observation['starts'], now: number): void {
      for (const { service, instance, url, startedAt } of starts) {
        const subject = { service, instance: url }
        const cached = cachedInstances.get(`${service} ${url}`)
        const isSaved = cached?.startedAt === startedAt && now - cached.savedAt < SAVE_MS
        if (!isSaved) {
          const stored = store.instance(subject)
          const seenAt = Math.max(stored?.seenAt ?? 0, cached?.seenAt ?? 0)
          const restart = toRestart(startedAt, stored && { ...stored, seenAt }, now)
          if (restart !== undefined) store.addRestart({ service, instance }, restart)
          // Several processes share one URL: the newer process did not replace this one.
          const isOlder = stored !== undefined && stored.startedAt > startedAt
          if (isOlder) store.removeRestarts({ service, instance }, Date.parse(startedAt))
          store.setInstance(subject, isOlder ? stored.startedAt : startedAt, now)
        }
        cachedInstances.set(`${service} ${url}`, { startedAt, seenAt: now, savedAt: isSaved ? cached.savedAt : now })
      }
    },
  }
}
