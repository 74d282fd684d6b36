import type { RejectedRange } from '../../shared/contracts/event-batch.ts'
import type { View } from '../../shared/contracts/view.ts'

/** A message of the log, or a dead letter. `at`: when the log stored it, in milliseconds since 1970. */
export type LogEntry = {
  sequence: number
  at: number
  views: View[]
  /** The serials of a dead letter. */
  serials: RejectedRange[]
  /** The number of events in a dead letter; one if it cannot be read. */
  rejected: number
}

export type Numbers = { views: number; qualified: number }
/** `clock`: the latest time at which the log stored a message so far, in milliseconds since 1970. */
export type Verdict = {
  id: string
  sequence: number
  clock: number
  verdict: string
  reason: string | null
  because: string | null
}

type Play = { id: string; assetId: string; userId: string; at: number; clock: number }

const HALF_MINUTE = 30_000
const DAY = 86_400_000

/**
 * Counts the log again, from its first message, as `docs/events.md` describes it. Deliberately simple, without bounds,
 * and without code of reporting, so that a mistake there shows as a difference.
 */
export function createRecount() {
  const highestSerials = new Map<string, number>()
  const unnumbered = new Set<string>()
  const keyed = new Map<string, Play>()
  const lastPlays = new Map<string, Play>()
  const viewers = new Map<string, Set<string>>()
  const totals = { views: 0, qualified: 0, notQualified: new Map<string, number>(), retried: 0, rejected: 0 }
  const assets = new Map<string, Numbers>()
  const users = new Map<string, Numbers>()
  /** By the start of the day of the play (UTC), in milliseconds since 1970. */
  const days = new Map<number, Numbers>()
  const verdicts: Verdict[] = []
  let clock = 0

  function isDuplicate({ producer, serial, id }: View): boolean {
    if (producer === undefined) return false
    if (serial !== undefined) return !raise(producer, serial)
    const key = JSON.stringify([producer, id])
    if (unnumbered.has(key)) return true
    unnumbered.add(key)
    return false
  }

  function raise(producer: string, serial: number): boolean {
    if (serial <= (highestSerials.get(producer) ?? 0)) return false
    highestSerials.set(producer, serial)
    return true
  }

  function isRetry(view: View, play: Play): boolean {
    if (!view.keyed) return false
    const first = keyed.get(view.id)
    if (first && Math.abs(play.at - first.at) <= DAY) {
      if (first.assetId === view.assetId && first.userId === view.userId) totals.retried += 1
      else totals.rejected += 1
      return true
    }
    keyed.set(view.id, play)
    return false
  }

  function count(view: View, sequence: number): void {
    const { id, assetId, userId } = view
    const play = { id, assetId, userId, at: Date.parse(view.at), clock }
    if (isDuplicate(view) || isRetry(view, play)) return
    const pair = `${assetId}\n${userId}`
    const previous = lastPlays.get(pair)
    lastPlays.set(pair, play)
    const isRepeat =
      previous !== undefined && clock - previous.clock <= HALF_MINUTE && Math.abs(play.at - previous.at) <= HALF_MINUTE
    addTo(assets, assetId, isRepeat)
    addTo(users, userId, isRepeat)
    addTo(days, Math.floor(play.at / DAY) * DAY, isRepeat)
    viewers.set(assetId, (viewers.get(assetId) ?? new Set()).add(userId))
    totals.views += 1
    if (isRepeat) totals.notQualified.set('repeat', (totals.notQualified.get('repeat') ?? 0) + 1)
    else totals.qualified += 1
    verdicts.push({
      id,
      sequence,
      clock,
      verdict: isRepeat ? 'not-qualified' : 'qualified',
      reason: isRepeat ? 'repeat' : null,
      because: isRepeat ? previous.id : null,
    })
  }

  return {
    totals,
    assets,
    users,
    days,
    viewers,
    verdicts,
    add({ sequence, at, views, serials, rejected }: LogEntry): void {
      clock = Math.max(clock, at)
      totals.rejected += rejected
      for (const { producer, to } of serials) raise(producer, to)
      for (const view of views) count(view, sequence)
    },
  }
}

function addTo<Key>(numbers: Map<Key, Numbers>, key: Key, isRepeat: boolean): void {
  const { views, qualified } = numbers.get(key) ?? { views: 0, qualified: 0 }
  numbers.set(key, { views: views + 1, qualified: isRepeat ? qualified : qualified + 1 })
}
