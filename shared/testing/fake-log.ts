import { expect } from 'vitest'
import type { NewView } from '../event-log/event-log.ts'
import { raceAbort } from '../runtime/race-abort.ts'

export type Mode = 'confirms' | 'refuses' | 'loses acknowledgements' | 'hangs'

export type FakeLog = ReturnType<typeof createFakeLog>

/**
 * A model of the log: the ids that it has stored, in order, and each producer's last id. After a failure, the producer
 * skips stored views, as the real one does. An append that hangs continues when the mode changes.
 */
export function createFakeLog(mode: Mode = 'confirms') {
  const ends = new Map<string, string>()
  let producers = 0
  let modeChanged = Promise.withResolvers<void>()
  let current = mode
  const fake = {
    get mode() {
      return current
    },
    set mode(next: Mode) {
      current = next
      modeChanged.resolve()
      modeChanged = Promise.withResolvers()
    },
    stored: [] as string[],
    storedViews: [] as (NewView & { producer: string })[],
    producer(_source: string, id = `producer-${producers++}`) {
      let settled = false
      return {
        id,
        async append(views: readonly NewView[], signal: AbortSignal) {
          await respond(signal)
          const rest = settled ? views : views.slice(views.findIndex((view) => view.id === ends.get(id)) + 1)
          settled = false
          fake.stored.push(...rest.map((view) => view.id))
          fake.storedViews.push(...rest.map((view) => ({ ...view, producer: id })))
          ends.set(id, views.at(-1)?.id ?? '')
          if (fake.mode === 'loses acknowledgements') throw new Error('no acknowledgement')
          settled = true
        },
      }
    },
  }
  async function respond(signal: AbortSignal): Promise<void> {
    if (fake.mode === 'refuses') throw new Error('no connection')
    if (fake.mode !== 'hangs') return
    await raceAbort(modeChanged.promise, signal)
  }
  return fake
}

/** Verifies that each producer's serials start at 1 and have no gaps, and that each named predecessor is stored. */
export function expectConsecutive(views: readonly (NewView & { producer: string })[]): void {
  const last = new Map<string, number>()
  for (const { producer, serial = 0, predecessor } of views) {
    expect(serial).toBe((last.get(producer) ?? 0) + 1)
    last.set(producer, serial)
    if (predecessor) expect(last.get(predecessor.producer)).toBeGreaterThanOrEqual(predecessor.serial)
  }
}
