import { headers, type MsgHdrs, nuid, type StoredMsg } from 'nats'
import { isNoResponders, isWrongLastSequence, lastMessage, openJetStreamManager } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { raceAbort } from '../runtime/race-abort.ts'
import type { NewView, Producer } from './event-log.ts'
import { ensureStream, producerOf, STREAM, type StreamOptions } from './stream.ts'
import { BATCH_CONTENT_TYPE, type DecodedViews, decodeViews, encodeViews } from './view-events.ts'

const MAX_VIEWS_PER_MESSAGE = 500
const MAX_MESSAGE_BYTES = 1_000_000
/** The server's limit includes the headers, which are shorter than this. */
const HEADER_BYTES = 1_024

type Deps = {
  nats: NatsLink
  options: StreamOptions
  source: string
  resumed: string | undefined
  /** The server's limit on message size. */
  maxPayload: () => number
}

/**
 * Appends to its own subject, `events.view.<id>`, with optimistic concurrency: each message names the subject's
 * expected last sequence, so that it cannot be stored twice. If an acknowledgement is lost, the last message on the
 * subject shows whether the message was stored.
 */
export function createJetStreamProducer({ nats, options, source, resumed, maxPayload }: Deps): Producer {
  const id = resumed ?? nuid.next()
  const subject = `events.view.${id}`
  /** The sequence of the last message on `subject`. Undefined after a failure, and initially for a resumed producer. */
  let last = resumed === undefined ? 0 : undefined

  /** Reads the last message on `subject` to find out which of `views` are already stored. */
  async function resync(views: readonly NewView[]) {
    const jsm = await openJetStreamManager(nats)
    await ensureStream(jsm, options)
    const stored = await lastMessage(jsm, STREAM, subject)
    const last = stored && lastEvent(stored)
    // A keyed view may have the same id as an earlier view, but never the same serial.
    const index = views.findIndex(({ id, serial }) => id === last?.id && serial === last.serial)
    return { last: stored?.seq ?? 0, rest: views.slice(index + 1) }
  }

  async function publish(payload: string, lastSubjectSequence: number): Promise<number> {
    const js = nats.connection().jetstream()
    const ack = await js.publish(subject, payload, { headers: contentType(), expect: { lastSubjectSequence } })
    return ack.seq
  }

  return {
    id,
    async append(views, signal) {
      const down = nats.down()
      let rest = views
      while (rest.length > 0) {
        if (last === undefined) {
          ;({ last, rest } = await raceAbort(resync(rest), signal, down))
          continue
        }
        const maxBytes = Math.min(MAX_MESSAGE_BYTES, maxPayload() - HEADER_BYTES)
        const { payload, count } = encodeFirst(rest.slice(0, MAX_VIEWS_PER_MESSAGE), `${source}/${id}`, maxBytes)
        try {
          last = await raceAbort(publish(payload, last), signal, down)
          rest = rest.slice(count)
        } catch (error) {
          last = undefined
          if (!isNotStored(error)) throw error
        }
      }
    },
  }
}

/**
 * Encodes the first views, and halves their number until the message fits. For example, 500 reports with maximum-length
 * ids do not fit.
 */
function encodeFirst(views: readonly NewView[], source: string, maxBytes: number): { payload: string; count: number } {
  const payload = encodeViews(views, source)
  if (views.length === 1 || Buffer.byteLength(payload) <= maxBytes) return { payload, count: views.length }
  return encodeFirst(views.slice(0, views.length >> 1), source, maxBytes)
}

function lastEvent(stored: StoredMsg): DecodedViews['last'] {
  try {
    return decodeViews(stored.data, stored.timestamp, producerOf(stored.subject)).last
  } catch {
    return undefined
  }
}

function contentType(): MsgHdrs {
  const messageHeaders = headers()
  messageHeaders.set('Content-Type', BATCH_CONTENT_TYPE)
  return messageHeaders
}

/** Returns true if the message was definitely not stored: the expected sequence was wrong, or there is no stream. */
function isNotStored(error: unknown): boolean {
  return isWrongLastSequence(error) || isNoResponders(error)
}
