import type { JsMsg } from 'nats'
import { openJetStreamManager } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import type { Resolution } from './event-log.ts'
import { readRejected } from './rejected-headers.ts'
import { type DeadLetterHead, readResolution, toHead } from './resolution.ts'
import { scan } from './scan.ts'
import { DEAD_LETTERS, endOf, findStream, REPLAYS, STREAM } from './stream.ts'

type State = {
  incarnation: string
  /** Maps each original message's sequence to its copy's sequence. */
  copies: Map<number, number>
  /** Maps each resolved original message's sequence to its resolution. */
  resolutions: Map<number, Resolution>
  /** Sequences of copies to remove: duplicates, and copies of resolved dead letters. */
  superfluous: Set<number>
  /** Number of messages on the dead-letter subject, including messages that are not dead letters. */
  stored: number
  readUpTo: { copies: number; resolutions: number }
}

export type DeadLetterIndex = {
  /** Reads the messages stored since the last call, possibly by another process. Never creates the stream. */
  refresh(): Promise<void>
  incarnation: () => string
  /** The sequences of the dead letters that are neither replayed nor deleted, in ascending order. */
  unresolved(): number[]
  count(): number
  /** The sequence of an unresolved dead letter's copy. */
  copyOf(sequence: number): number | undefined
  resolutionOf(sequence: number): Resolution | undefined
  /** Reads the copies of these unresolved dead letters. Omits copies that were removed in the meantime. */
  heads(sequences: readonly number[]): Promise<DeadLetterHead[]>
  /** Removes superfluous copies. */
  cleanUp(): Promise<void>
}

/**
 * An index of the dead letters in the log, and of their resolutions. It holds two numbers per dead letter. All readers
 * share it, so that each dead letter is read once.
 *
 * A dead letter is resolved by the first message on `events.view.dead-letter.<sequence>` that follows the original and
 * has the headers of a replay or of a deletion. A deletion has no body. Any other message on that subject is an
 * ordinary message.
 */
export function createDeadLetterIndex(nats: Pick<NatsLink, 'connection'>): DeadLetterIndex {
  let state = emptyState('')
  let lastRefresh: Promise<void> = Promise.resolve()

  async function update(): Promise<void> {
    const jsm = await openJetStreamManager(nats)
    const stream = await findStream(jsm)
    const stored = stream?.state.subjects?.[DEAD_LETTERS] ?? 0
    // If there are fewer messages than before, some copies have expired or were purged: rebuild the index.
    const incarnation = stream ? endOf(stream).incarnation : ''
    const isStale = state.incarnation !== incarnation || stored < state.stored
    const next = isStale ? emptyState(incarnation) : state
    if (stream) {
      // Read the copies first: a copy is removed only after its resolution is stored, so at least one of the two is
      // always found.
      for await (const message of scan(nats, jsm, DEAD_LETTERS, next.readUpTo.copies + 1)) addCopy(next, message)
      for await (const message of scan(nats, jsm, REPLAYS, next.readUpTo.resolutions + 1)) addResolution(next, message)
    }
    // Replace the state only once the new one is complete, because callers read the index in the meantime.
    state = next
  }

  const unresolved = () => [...state.copies.keys()].toSorted((a, b) => a - b)

  return {
    refresh() {
      // Refreshes run one after another, because each continues where the previous one ended.
      const refreshed = lastRefresh.catch(() => undefined).then(update)
      lastRefresh = refreshed
      refreshed.catch(() => undefined)
      return refreshed
    },
    incarnation: () => state.incarnation,
    unresolved,
    count: () => state.copies.size,
    copyOf: (sequence) => state.copies.get(sequence),
    resolutionOf: (sequence) => state.resolutions.get(sequence),
    async heads(sequences) {
      const wanted = new Set(sequences.flatMap((sequence) => state.copies.get(sequence) ?? []))
      const heads: DeadLetterHead[] = []
      if (wanted.size === 0) return heads
      const jsm = await openJetStreamManager(nats)
      for await (const message of scan(nats, jsm, DEAD_LETTERS, Math.min(...wanted))) {
        const head = wanted.delete(message.seq) && toHead(message)
        if (head) heads.push(head)
        if (wanted.size === 0) break
      }
      return heads.toSorted((a, b) => a.sequence - b.sequence)
    },
    async cleanUp() {
      const current = state
      if (current.superfluous.size === 0) return
      const jsm = await openJetStreamManager(nats)
      for (const copy of current.superfluous) {
        // If the removal fails, another process has removed the copy, or the next call will remove it.
        const isRemoved = await jsm.streams.deleteMessage(STREAM, copy).catch(() => false)
        if (isRemoved && current.superfluous.delete(copy)) current.stored -= 1
      }
    },
  }
}

function emptyState(incarnation: string): State {
  return {
    incarnation,
    copies: new Map(),
    resolutions: new Map(),
    superfluous: new Set(),
    stored: 0,
    readUpTo: { copies: 0, resolutions: 0 },
  }
}

function addCopy(state: State, message: JsMsg): void {
  state.readUpTo.copies = message.seq
  state.stored += 1
  const rejected = readRejected(() => message.headers, message.seq)
  if (!rejected) return
  const { sequence } = rejected
  if (state.resolutions.has(sequence) || state.copies.has(sequence)) state.superfluous.add(message.seq)
  else state.copies.set(sequence, message.seq)
}

function addResolution(state: State, message: JsMsg): void {
  state.readUpTo.resolutions = message.seq
  const found = readResolution(message)
  if (!found || state.resolutions.has(found.sequence)) return
  state.resolutions.set(found.sequence, found.resolution)
  const copy = state.copies.get(found.sequence)
  if (copy === undefined) return
  state.copies.delete(found.sequence)
  state.superfluous.add(copy)
}
