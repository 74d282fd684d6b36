import { headers, type MsgHdrs, nuid, type StoredMsg } from 'nats'
import { isNoResponders, isWrongLastSequence, lastMessage, openJetStreamManager } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { raceAbort } from '../runtime/race-abort.ts'
import type { NewView, Producer } from './event-log.ts'
import { ensureStream, producerOf, STREAM, type StreamOptions } from './stream.ts'
import { BATCH_CONTENT_TYPE, type DecodedViews, decodeViews, encodeViews } from './view-events.ts'

/** Fits into 1 MiB, the server's default limit, even with ids and a tracestate of maximum length. */
const MAX_VIEWS_PER_MESSAGE = 500

type Deps = { nats: NatsLink; options: StreamOptions; source: string; resumed: string | undefined }

/**
 * Appends to its own subject, `events.view.<id>`, with optimistic concurrency: each message names the expected last
 * sequence of the subject, so that it cannot be stored twice. If an acknowledgement is lost, the last message on the
 * subject shows whether the message was stored.
 */
export function createJetStreamProducer({ nats, options, source, resumed }: Deps): Producer {
  const id = resumed ?? nuid.next()
  const subject = `events.view.${id}`
  /** The sequence of the last message on `subject`. Undefined after a failure, and for a resumed producer at first. */
  let last = resumed === undefined ? 0 : undefined

  /** Reads the end of the subject to find out which of `views` are already stored. */
  async function resync(views: readonly NewView[]) {
    const jsm = await openJetStreamManager(nats)
    await ensureStream(jsm, options)
    const stored = await lastMessage(jsm, STREAM, subject)
    const last = stored && lastEvent(stored)
    // A keyed view may have the id of an earlier one, but not its serial.
    const index = views.findIndex(({ id, serial }) => id === last?.id && serial === last.serial)
    return { last: stored?.seq ?? 0, rest: views.slice(index + 1) }
  }

  async function publish(views: readonly NewView[], lastSubjectSequence: number): Promise<number> {
    const js = nats.connection().jetstream()
    const payload = encodeViews(views, `${source}/${id}`)
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
        const chunk = rest.slice(0, MAX_VIEWS_PER_MESSAGE)
        try {
          last = await raceAbort(publish(chunk, last), signal, down)
          rest = rest.slice(chunk.length)
        } catch (error) {
          last = undefined
          if (!isNotStored(error)) throw error
        }
      }
    },
  }
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

/** Returns true if the message was certainly not stored: the expected sequence was wrong, or there is no stream. */
function isNotStored(error: unknown): boolean {
  return isWrongLastSequence(error) || isNoResponders(error)
}
