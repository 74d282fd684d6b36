import { randomBytes } from 'node:crypto'
import { type LiveChanges, type LiveEvent, type LiveSnapshot, MAX_LIVE_IDS } from '../contracts/live.ts'
import { applyChanges, dropOldSeconds, mergeChanges } from './reducer.ts'

/** If nothing is added for this long, the state may be stale. The limit exceeds the interval between two heartbeats. */
const STALE_MS = 2_000

/**
 * The id is `<epoch>-<event number>`. The epoch is random per process, so that clients cannot resume another process's
 * stream.
 */
export type NumberedEvent = LiveEvent & { id: string }

export type ReplayBuffer = {
  /** Adds an event from the source to the events that `next` merges into one. */
  add(event: LiveEvent): void
  /** Returns everything added since the previous call as one event, or undefined if nothing was added. */
  next(): NumberedEvent | undefined
  /**
   * Returns the events after `lastEventId` as one event: changes if they are still buffered, otherwise a snapshot.
   * Returns undefined if there are no such events, or if nothing was added for `staleMs`. In the latter case, the next
   * event is a snapshot.
   */
  since(lastEventId: string | undefined): NumberedEvent | undefined
  clear(): void
}

type Buffered = { eventNumber: number; at: number; changes: LiveChanges }

/** The current state, and the changes from the last `keepMs` milliseconds for clients that reconnect. */
export function createReplayBuffer(keepMs: number, staleMs = STALE_MS): ReplayBuffer {
  const epoch = randomBytes(4).toString('hex')
  let eventNumber = 0
  let current: LiveSnapshot | undefined
  let pending: LiveChanges | 'snapshot' | undefined
  let buffered: Buffered[] = []
  let addedAt = Number.NEGATIVE_INFINITY
  const isStale = () => performance.now() - addedAt > staleMs

  function buffer(changes: LiveChanges): void {
    const at = performance.now()
    buffered = [...buffered.filter((older) => at - older.at < keepMs), { eventNumber, at, changes }]
  }

  /** Returns undefined if some of the changes are no longer buffered. */
  function changesAfter(seen: number): LiveChanges | undefined {
    const missed = buffered.filter((event) => event.eventNumber > seen)
    if (missed.length === 0 || missed.length !== eventNumber - seen) return undefined
    return missed.map(({ changes }) => changes).reduce(mergeChanges)
  }

  /** Falls back to a snapshot, which is smaller, if too many ids have changed. */
  function toEvent(changes: LiveChanges | undefined, snapshot: LiveSnapshot): NumberedEvent {
    const id = `${epoch}-${eventNumber}`
    if (changes && isBounded(changes)) return { id, event: 'changes', data: changes }
    return { id, event: 'snapshot', data: dropOldSeconds(snapshot) }
  }

  return {
    add({ event, data }) {
      if (event === 'snapshot') {
        current = data
        pending = 'snapshot'
      } else if (current) {
        current = dropOldSeconds(applyChanges(current, data))
        if (isStale()) pending = 'snapshot'
        if (pending !== 'snapshot') pending = pending ? mergeChanges(pending, data) : data
      }
      addedAt = performance.now()
    },
    next() {
      if (!pending || !current) return undefined
      const changes = pending === 'snapshot' ? undefined : pending
      eventNumber += 1
      pending = undefined
      if (changes) buffer(changes)
      return toEvent(changes, current)
    },
    since(lastEventId = '') {
      const [, eventEpoch, text] = /^([0-9a-f]+)-(\d{1,15})$/.exec(lastEventId) ?? []
      const seen = eventEpoch === epoch ? Number(text) : undefined
      if (seen === eventNumber || !current || isStale()) return undefined
      return toEvent(seen === undefined ? undefined : changesAfter(seen), current)
    },
    clear() {
      current = undefined
      pending = undefined
      buffered = []
    },
  }
}

function isBounded({ assets, users }: LiveChanges): boolean {
  return Object.keys(assets).length + Object.keys(users).length <= MAX_LIVE_IDS
}
