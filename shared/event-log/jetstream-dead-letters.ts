import { headers, type MsgHdrs, type StoredMsg } from 'nats'
import type { DeadLetter } from '../contracts/dead-letter.ts'
import { isWrongLastSequence, lastMessage, messageAt, openJetStreamManager } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { raceAbort } from '../runtime/race-abort.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import type { DeadLetterIndex } from './dead-letter-index.ts'
import type { DeadLetters, Resolved } from './event-log.ts'
import { copyHeaders, DELETED, REPLAYED, setRejected, toRecord } from './rejected-headers.ts'
import { encodeReplay, InvalidReplayError, refuseInvalid, validateReplay } from './replay.ts'
import type { DeadLetterHead } from './resolution.ts'
import { replaySubject, STREAM } from './stream.ts'
import { BATCH_CONTENT_TYPE } from './view-events.ts'

/** Room for a replay's headers, in addition to its body. */
const HEADER_BYTES = 4 * 1024
/** An attempt fails only if another process resolved the dead letter, or published on the replay's subject. */
const MAX_ATTEMPTS = 5

type Deps = { nats: NatsLink; index: DeadLetterIndex; maxPayload: () => number }

/** The log's dead letters in JetStream. */
export function createJetStreamDeadLetters({ nats, index, maxPayload }: Deps): DeadLetters {
  /** Refreshes the index, and removes copies that a killed process left behind. */
  async function refresh(): Promise<void> {
    await index.refresh()
    await index.cleanUp()
  }

  async function find(sequence: number): Promise<Found | undefined> {
    await refresh()
    const [head] = index.copyOf(sequence) === undefined ? [] : await index.heads([sequence])
    if (!head) return undefined
    const jsm = await openJetStreamManager(nats)
    const original = await messageAt(jsm, STREAM, sequence)
    return { head, original, copy: await messageAt(jsm, STREAM, head.copy) }
  }

  /**
   * Publishes the message that resolves a dead letter, unless the dead letter is already resolved. This is atomic: the
   * publish expects the subject's last sequence, which is 0 unless another program has published there.
   */
  async function decide(sequence: number, encode: (found: Found) => Decision): Promise<Resolved> {
    const jsm = await openJetStreamManager(nats)
    const subject = replaySubject(sequence)
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      // Read the last message before the index, so that the index covers all messages up to it.
      const lastSubjectSequence = (await lastMessage(jsm, STREAM, subject))?.seq ?? 0
      const found = await find(sequence)
      const resolution = index.resolutionOf(sequence)
      if (resolution) return { outcome: 'already resolved', resolution }
      // If the index lists a copy that no longer exists, another process has resolved the dead letter: try again.
      if (!found && index.copyOf(sequence) === undefined) return { outcome: 'not found' }
      if (!found) continue
      const { data, headers: resolutionHeaders, views } = encode(found)
      setRejected(resolutionHeaders, found.head)
      try {
        const js = nats.connection().jetstream()
        const { seq } = await js.publish(subject, data, { headers: resolutionHeaders, expect: { lastSubjectSequence } })
        return { outcome: 'resolved', sequence: seq, views }
      } catch (error) {
        if (!isWrongLastSequence(error)) throw error
      }
    }
    throw new Error(`other programs keep publishing on ${subject}`)
  }

  /**
   * The dead letter is resolved once the message is stored. If removing the copy fails, the next call removes it.
   */
  async function resolve(sequence: number, encode: (found: Found) => Decision): Promise<Resolved> {
    const resolved = await decide(sequence, encode)
    if (resolved.outcome === 'resolved') await refresh().catch(() => undefined)
    return resolved
  }

  return {
    list: ({ after = 0, limit }) =>
      available(nats, async () => {
        await refresh()
        const sequences = index.unresolved().filter((sequence) => sequence > after)
        const page = sequences.slice(0, limit)
        const next = sequences.length > limit ? (page.at(-1) ?? null) : null
        return { deadLetters: (await index.heads(page)).map(toDeadLetter), next }
      }),
    get: (sequence) =>
      available(nats, async () => {
        const found = await find(sequence)
        const message = found?.original ?? found?.copy
        if (!found || !message) return undefined
        const read = found.original ? () => message.header : () => copyHeaders(() => message.header, Infinity)
        return { ...toDeadLetter(found.head), headers: toRecord(read), body: bodyOf(found) }
      }),
    replay: (sequence, corrected) =>
      refuseInvalid(async () => {
        // An invalid body is invalid for any dead letter, so validate the body before looking up the dead letter.
        if (corrected) validateReplay(corrected, sequence, new Date().toISOString())
        return available(nats, () => resolve(sequence, (found) => toReplay(found, corrected, maxPayload())))
      }),
    delete: (sequence) =>
      available(nats, () =>
        resolve(sequence, () => ({ data: '', views: 0, headers: withHeaders({ [DELETED]: 'true' }) })),
      ),
    count: () =>
      available(nats, async () => {
        await index.refresh()
        return index.count()
      }),
  }
}

type Found = { head: DeadLetterHead; original: StoredMsg | undefined; copy: StoredMsg | undefined }
type Decision = { data: string; views: number; headers: MsgHdrs }

/** @throws InvalidReplayError */
function toReplay(found: Found, corrected: Uint8Array | undefined, maxPayload: number): Decision {
  const { head, original, copy } = found
  const storedAt = original?.time.toISOString() ?? copy?.time.toISOString() ?? head.at
  const { data, views } = encodeReplay({ sequence: head.sequence, body: bodyOf(found), storedAt }, corrected)
  const size = Buffer.byteLength(data) + HEADER_BYTES
  if (size > maxPayload) {
    throw new InvalidReplayError(`the replay has ${size} bytes, but NATS allows at most ${maxPayload} (max_payload)`)
  }
  return { data, views, headers: withHeaders({ 'Content-Type': BATCH_CONTENT_TYPE, [REPLAYED]: 'true' }) }
}

/** The original's body, or that of its copy once the original has expired. */
function bodyOf({ head, original, copy }: Found): Uint8Array | undefined {
  return original?.data ?? (head.bodyOmitted ? undefined : copy?.data)
}

function toDeadLetter({ sequence, subject, reason, at, size, bodyOmitted }: DeadLetterHead): DeadLetter {
  return { sequence, subject, reason, at, size, ...(bodyOmitted && { bodyOmitted }) }
}

function withHeaders(values: Record<string, string>): MsgHdrs {
  const messageHeaders = headers()
  for (const [name, value] of Object.entries(values)) messageHeaders.set(name, value)
  return messageHeaders
}

/** @throws InvalidReplayError from `work`; UnavailableError for any other failure */
async function available<Result>(nats: NatsLink, work: () => Promise<Result>): Promise<Result> {
  try {
    nats.connection()
    return await raceAbort(work(), nats.down())
  } catch (cause) {
    throw cause instanceof InvalidReplayError ? cause : new UnavailableError('the log is unavailable', { cause })
  }
}
