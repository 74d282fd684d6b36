import {
  AckPolicy,
  DeliverPolicy,
  headers,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type MsgHdrs,
  nanos,
} from 'nats'
import type { Logger } from '../runtime/log.ts'
import { DEAD_LETTERS, STREAM } from './stream.ts'

/** Headers of a dead letter: its original sequence and subject, and why it was rejected. */
const SEQUENCE = 'Rejected-Sequence'
const SUBJECT = 'Rejected-Subject'
const REASON = 'Rejected-Reason'
/** Present if the body is missing because it did not fit beside the headers. The original in the log has it. */
const BODY_OMITTED = 'Rejected-Body-Omitted'

const MAX_REASON = 500
const MAX_SUBJECT = 1_000

const FETCH_MESSAGES = 1_000
const FETCH_EXPIRES_MS = 2_000
const CONSUMER_IDLE_MS = 10_000
/** More than our own headers can have. */
const OWN_HEADER_BYTES = 4 * 1024

export type RejectedMessage = Pick<JsMsg, 'subject' | 'data'> & {
  sequence: number
  reason: string
  /** Throws if they are malformed. */
  headers: () => MsgHdrs | undefined
}

export type DeadLetters = {
  /** Copies a message to the dead-letter subject, unless it is there already. flush() reports failures. */
  add(message: RejectedMessage): void
  /** Resolves once every added message is stored. */
  flush(): Promise<void>
}

/** The originals of the dead letters up to a sequence. Readers share it, so that each letter is read once. */
export type KnownDeadLetters = { incarnation: string; upTo: number; originals: Set<number> }

type Deps = { js: JetStreamClient; jsm: JetStreamManager; maxPayload: number; known: KnownDeadLetters; log: Logger }

/** Keeps each dead letter once, with any number of readers and restarts. */
export function createDeadLetters({ js, jsm, maxPayload, known, log }: Deps): DeadLetters {
  let refreshing: Promise<void> | undefined
  let storing: Promise<void>[] = []

  async function store(message: RejectedMessage): Promise<void> {
    const { sequence, subject, data } = message
    refreshing ??= refresh(js, jsm, known)
    await refreshing
    if (known.originals.has(sequence)) return
    known.originals.add(sequence)
    const reason = toLine(message.reason, MAX_REASON)
    log.warn({ subject: toLine(subject, MAX_SUBJECT), sequence, reason }, 'dead letter: not a valid batch of views')
    const room = maxPayload - OWN_HEADER_BYTES
    const fits = data.length <= room
    const all = originalHeaders(message, fits ? room - data.length : room)
    all.set(SEQUENCE, String(sequence))
    all.set(SUBJECT, toLine(subject, MAX_SUBJECT))
    all.set(REASON, reason)
    if (!fits) all.set(BODY_OMITTED, 'too-large')
    // Deduplicates the letters of two listeners that read the same message at the same time.
    const options = { headers: all, msgID: `dead-letter-${known.incarnation}-${sequence}` }
    try {
      await js.publish(DEAD_LETTERS, fits ? data : new Uint8Array(), options)
    } catch (error) {
      known.originals.delete(sequence)
      throw error
    }
  }

  return {
    add(message) {
      const stored = store(message)
      // flush() reports it.
      stored.catch(() => undefined)
      storing.push(stored)
    },
    async flush() {
      const added = storing
      storing = []
      await Promise.all(added)
    },
  }
}

/** Reads the dead letters that were stored since the last call, possibly by another listener. */
async function refresh(js: JetStreamClient, jsm: JetStreamManager, known: KnownDeadLetters): Promise<void> {
  const { name, num_pending } = await jsm.consumers.add(STREAM, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: known.upTo + 1,
    filter_subject: DEAD_LETTERS,
    ack_policy: AckPolicy.None,
    inactive_threshold: nanos(CONSUMER_IDLE_MS),
    headers_only: true,
    mem_storage: true,
    num_replicas: 1,
  })
  const consumer = await js.consumers.get(STREAM, name)
  for (let read = 0; read < num_pending; ) {
    const before = read
    const max_messages = Math.min(num_pending - read, FETCH_MESSAGES)
    const letters = await consumer.fetch({ max_messages, expires: FETCH_EXPIRES_MS })
    for await (const letter of letters) {
      read += 1
      known.upTo = letter.seq
      const original = Number(headerOf(() => letter.headers, SEQUENCE))
      // A letter always follows its original. Any other is forged, and must not hide a later one.
      if (original < letter.seq) known.originals.add(original)
    }
    if (read === before) throw new Error('the dead letters were not delivered')
  }
}

/** Those of the original that fit and have no meaning for the server; none if they are malformed. */
function originalHeaders(message: RejectedMessage, maxBytes: number): MsgHdrs {
  const kept = headers()
  try {
    let bytes = 0
    for (const name of message.headers()?.keys() ?? []) {
      const value = message.headers()?.get(name) ?? ''
      bytes += Buffer.byteLength(`${name}: ${value}\r\n`)
      if (!/^nats-/i.test(name) && bytes <= maxBytes) kept.set(name, value)
    }
    return kept
  } catch {
    return headers()
  }
}

/** Undefined if there is no such header, or the headers are malformed: any client may have published the message. */
function headerOf(headers: () => MsgHdrs | undefined, name: string): string | undefined {
  try {
    return headers()?.get(name) || undefined
  } catch {
    return undefined
  }
}

/** Why a message became a dead letter. */
export function reasonOf(letter: { header: MsgHdrs }): string | undefined {
  return headerOf(() => letter.header, REASON)
}

/** One line of printable ASCII, for headers, logs and terminals. Other characters are escaped as in JSON. */
function toLine(text: string, max: number): string {
  const escapeCharacter = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  return text
    .replaceAll(/\s+/g, ' ')
    .slice(0, max)
    .replaceAll(/[^\x20-\x7e]/g, escapeCharacter)
}
