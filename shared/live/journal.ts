import { randomBytes } from 'node:crypto'
import { type LiveChanges, type LiveEvent, type LiveSnapshot, MAX_LIVE_IDS } from '../contracts/live.ts'
import { fold, merge, withoutOldSeconds } from './fold.ts'

/** `<epoch>-<number>`: the epoch is this process's own, so that nobody resumes what another one told. */
export type NumberedEvent = LiveEvent & { id: string }

export type Journal = {
  /** Takes an event in, to be told with the next one. */
  take(event: LiveEvent): void
  /** All that was taken since the event before, as one. Undefined where that is nothing. */
  next(): NumberedEvent | undefined
  /** What is new to who has seen an event: changes where they are kept, else a snapshot. Undefined where nothing is. */
  since(lastEventId: string | undefined): NumberedEvent | undefined
  clear(): void
}

type Kept = { number: number; at: number; changes: LiveChanges }

/** The state that events lead to, and the events of the last `keepMs`. */
export function createJournal(keepMs: number): Journal {
  const epoch = randomBytes(4).toString('hex')
  let number = 0
  let current: LiveSnapshot | undefined
  let taken: LiveChanges | 'all' | undefined
  let kept: Kept[] = []

  function keep(changes: LiveChanges): void {
    const at = performance.now()
    kept = [...kept.filter((older) => at - older.at < keepMs), { number, at, changes }]
  }

  /** Undefined where not all of them are kept. */
  function missedAfter(seen: number): LiveChanges | undefined {
    const missed = kept.filter((event) => event.number > seen)
    if (missed.length === 0 || missed.length !== number - seen) return undefined
    return missed.map(({ changes }) => changes).reduce(merge)
  }

  /** Changes, where they are few; else the snapshot that they led to. */
  function toEvent(changes: LiveChanges | undefined, snapshot: LiveSnapshot): NumberedEvent {
    const id = `${epoch}-${number}`
    if (changes && areFew(changes)) return { id, event: 'changes', data: changes }
    return { id, event: 'snapshot', data: withoutOldSeconds(snapshot) }
  }

  return {
    take({ event, data }) {
      if (event === 'snapshot') {
        current = data
        taken = 'all'
      } else if (current) {
        current = withoutOldSeconds(fold(current, data))
        if (taken !== 'all') taken = taken ? merge(taken, data) : data
      }
    },
    next() {
      if (!taken || !current) return undefined
      const changes = taken === 'all' ? undefined : taken
      number += 1
      taken = undefined
      if (changes) keep(changes)
      return toEvent(changes, current)
    },
    since(lastEventId = '') {
      const [, its, text] = /^([0-9a-f]+)-(\d{1,15})$/.exec(lastEventId) ?? []
      const seen = its === epoch ? Number(text) : undefined
      if (seen === number || !current) return undefined
      return toEvent(seen === undefined ? undefined : missedAfter(seen), current)
    },
    clear() {
      current = undefined
      taken = undefined
      kept = []
    },
  }
}

function areFew({ assets, users }: LiveChanges): boolean {
  return Object.keys(assets).length + Object.keys(users).length <= MAX_LIVE_IDS
}
