import { AckPolicy, type Consumer, DeliverPolicy, type JetStreamManager, type JsMsg, millis, nanos } from 'nats'
import { nextMessage, openJetStreamManager } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import type { Resolution } from './event-log.ts'
import { BODY_OMITTED, DELETED, headerOf, REPLAYED, type Rejected, readRejected } from './rejected-headers.ts'
import { DEAD_LETTERS, endOf, findStream, REPLAYS, replaySubject, STREAM } from './stream.ts'

const FETCH_MESSAGES = 1_000
const FETCH_EXPIRES_MS = 2_000
const CONSUMER_IDLE_MS = 10_000

type State = {
  incarnation: string
  /** The sequence of the copy of each dead letter, by that of its original. */
  copies: Map<number, number>
  /** How dead letters were resolved, by the sequence of the original. */
  resolutions: Map<number, Resolution>
  /** Copies of dead letters that have another copy, or were resolved by a process that ended before it removed them. */
  superfluous: Set<number>
  /** Number of messages on the subject of the dead letters, including those that are none. */
  stored: number
  readUpTo: { copies: number; resolutions: number }
}

export type DeadLetterHead = Rejected & { copy: number; at: string; size: number; bodyOmitted: boolean }

export type DeadLetterIndex = {
  /** Reads what was stored since the last call, possibly by another process. Never creates the stream. */
  refresh(): Promise<void>
  incarnation: () => string
  /** The sequences of the dead letters that are neither replayed nor deleted, ascending. */
  unresolved(): number[]
  count(): number
  /** The sequence of the copy of an unresolved dead letter. */
  copyOf(sequence: number): number | undefined
  resolutionOf(sequence: number): Resolution | undefined
  /** What the copies say about these unresolved dead letters. Omits those that were removed in the meantime. */
  heads(sequences: readonly number[]): Promise<DeadLetterHead[]>
  /** Removes superfluous copies. */
  cleanUp(): Promise<void>
}

/**
 * Which messages of the log are dead letters, and which of those are resolved. It holds two numbers for each; readers
 * share it, so that each is read once.
 *
 * A dead letter is resolved by the first message on `events.view.dead-letter.<sequence>` that follows the original and
 * has the headers of a replay or, without a body, of a deletion. Any other message there is like one of any producer.
 */
export function createDeadLetterIndex(nats: Pick<NatsLink, 'connection'>): DeadLetterIndex {
  let state = emptyState('')
  let lastRefresh: Promise<void> = Promise.resolve()

  async function update(): Promise<void> {
    const jsm = await openJetStreamManager(nats)
    const stream = await findStream(jsm)
    const stored = stream?.state.subjects?.[DEAD_LETTERS] ?? 0
    // Expired or purged: only reading all of them again shows which.
    const incarnation = stream ? endOf(stream).incarnation : ''
    if (state.incarnation !== incarnation || stored < state.stored) state = emptyState(incarnation)
    if (!stream) return
    // In this order: a copy is removed after its dead letter is resolved, so one of the two is always found.
    for await (const message of scan(nats, jsm, DEAD_LETTERS, state.readUpTo.copies + 1)) addCopy(message)
    for await (const message of scan(nats, jsm, REPLAYS, state.readUpTo.resolutions + 1)) addResolution(message)
  }

  function addResolution(message: JsMsg): void {
    state.readUpTo.resolutions = message.seq
    const found = readResolution(message)
    if (!found || state.resolutions.has(found.sequence)) return
    state.resolutions.set(found.sequence, found.resolution)
    const copy = state.copies.get(found.sequence)
    if (copy === undefined) return
    state.copies.delete(found.sequence)
    state.superfluous.add(copy)
  }

  function addCopy(message: JsMsg): void {
    state.readUpTo.copies = message.seq
    state.stored += 1
    const rejected = readRejected(() => message.headers, message.seq)
    if (!rejected) return
    const { sequence } = rejected
    if (state.resolutions.has(sequence) || state.copies.has(sequence)) state.superfluous.add(message.seq)
    else state.copies.set(sequence, message.seq)
  }

  const unresolved = () => [...state.copies.keys()].toSorted((a, b) => a - b)

  return {
    refresh() {
      // One after the other: each continues where the previous one ended.
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
      const wanted = new Set(sequences.map((sequence) => state.copies.get(sequence) ?? 0))
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
        // If it fails, another process has removed it, or the next call will.
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

/** Yields the messages on a subject from a sequence up to the current end, without their bodies. */
async function* scan(
  nats: Pick<NatsLink, 'connection'>,
  jsm: JetStreamManager,
  subject: string,
  from: number,
): AsyncGenerator<JsMsg> {
  // Creating a consumer costs more, and usually there is nothing new.
  if (!(await nextMessage(jsm, STREAM, subject, from))) return
  const { name } = await jsm.consumers.add(STREAM, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
    filter_subject: subject,
    ack_policy: AckPolicy.None,
    inactive_threshold: nanos(CONSUMER_IDLE_MS),
    headers_only: true,
    mem_storage: true,
    num_replicas: 1,
  })
  try {
    yield* readAll(await nats.connection().jetstream().consumers.get(STREAM, name))
  } finally {
    await jsm.consumers.delete(STREAM, name).catch(() => false)
  }
}

async function* readAll(consumer: Consumer): AsyncGenerator<JsMsg> {
  for (let pending = (await consumer.info(true)).num_pending; pending > 0; ) {
    const max_messages = Math.min(pending, FETCH_MESSAGES)
    const messages = await consumer.fetch({ max_messages, expires: FETCH_EXPIRES_MS })
    let isEmpty = true
    for await (const message of messages) {
      isEmpty = false
      pending = message.info.pending
      yield message
    }
    if (!isEmpty) continue
    // Those that were counted may have been removed.
    pending = (await consumer.info()).num_pending
    if (pending > 0) throw new Error('the dead letters were not delivered')
  }
}

/** Whether a message deletes a dead letter. It is no dead letter itself. */
export function isDeletion(message: JsMsg): boolean {
  return readResolution(message)?.resolution.action === 'deleted'
}

function readResolution(message: JsMsg): { sequence: number; resolution: Resolution } | undefined {
  const { seq, subject, info } = message
  const read = () => message.headers
  const rejected = readRejected(read, seq)
  if (!rejected || subject !== replaySubject(rejected.sequence)) return undefined
  const isDeleted = headerOf(read, DELETED) !== undefined && sizeOf(message) === 0
  if (!isDeleted && headerOf(read, REPLAYED) === undefined) return undefined
  const at = toTime(info.timestampNanos)
  return { sequence: rejected.sequence, resolution: { action: isDeleted ? 'deleted' : 'replayed', at } }
}

function toHead(message: JsMsg): DeadLetterHead | undefined {
  const rejected = readRejected(() => message.headers, message.seq)
  if (!rejected) return undefined
  const bodyOmitted = headerOf(() => message.headers, BODY_OMITTED) !== undefined
  const at = toTime(message.info.timestampNanos)
  return { ...rejected, copy: message.seq, at, size: rejected.size ?? sizeOf(message), bodyOmitted }
}

/** To a reader of headers only, the server appends the size as the last header of this name. */
function sizeOf({ data, headers }: Pick<JsMsg, 'data' | 'headers'>): number {
  if (data.length > 0) return data.length
  const size = Number(headers?.values('Nats-Msg-Size').at(-1) ?? 0)
  return Number.isSafeInteger(size) && size >= 0 ? size : 0
}

function toTime(timestampNanos: number): string {
  return new Date(millis(timestampNanos)).toISOString()
}
