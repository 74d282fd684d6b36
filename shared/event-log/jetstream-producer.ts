import { ErrorCode, headers, type MsgHdrs, NatsError, nuid, type StoredMsg } from 'nats'
import { hasCode, jetStreamManager, lastMessage, WRONG_LAST_SEQUENCE } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { unlessAborted } from '../runtime/unless-aborted.ts'
import type { NewView, Producer } from './event-log.ts'
import { ensureStream, type Retention, STREAM } from './stream.ts'
import { BATCH_CONTENT_TYPE, decodeViews, encodeViews } from './view-events.ts'

/** Even with ids and a tracestate of full length, this many views stay below the 1 MiB that a NATS server takes in one message. */
const MAX_VIEWS_PER_MESSAGE = 500

type Deps = { nats: NatsLink; retention: Retention; id: string | undefined }

/**
 * Appends to a subject of its own, `events.view.<id>`, one message per append. Each message is sent with the sequence
 * that is expected last on the subject, so that a message whose acknowledgement was lost cannot be stored twice: what
 * the subject ends with tells whether it was stored.
 */
export function createJetStreamProducer({ nats, retention, id = nuid.next() }: Deps): Producer {
  const subject = `events.view.${id}`
  const source = `/play/${id}`
  /** The sequence of the last message on `subject`; unknown at first and after each failure. */
  let last: number | undefined

  /** Asks how the subject ends, and so which of `views` are stored already. */
  async function settle(views: readonly NewView[]) {
    const jsm = await jetStreamManager(nats)
    await ensureStream(jsm, retention)
    const stored = await lastMessage(jsm, STREAM, subject)
    const lastStored = stored && lastViewId(stored)
    return { last: stored?.seq ?? 0, rest: views.slice(views.findIndex(({ id }) => id === lastStored) + 1) }
  }

  async function publish(views: readonly NewView[], expected: number): Promise<number> {
    const ack = await nats
      .connection()
      .jetstream()
      .publish(subject, encodeViews(views, source), {
        headers: contentType(),
        expect: { lastSubjectSequence: expected },
      })
    return ack.seq
  }

  return {
    id,
    async append(views, signal) {
      const down = nats.down()
      let rest = views
      while (rest.length > 0) {
        if (last === undefined) {
          ;({ last, rest } = await unlessAborted(settle(rest), signal, down))
          continue
        }
        const group = rest.slice(0, MAX_VIEWS_PER_MESSAGE)
        try {
          last = await unlessAborted(publish(group, last), signal, down)
          rest = rest.slice(group.length)
        } catch (error) {
          last = undefined
          if (!isRefused(error)) throw error
        }
      }
    },
  }
}

function lastViewId(stored: StoredMsg): string | undefined {
  try {
    return decodeViews(stored.string(), stored.timestamp).views.at(-1)?.id
  } catch {
    return undefined
  }
}

function contentType(): MsgHdrs {
  const all = headers()
  all.set('Content-Type', BATCH_CONTENT_TYPE)
  return all
}

/** The log has surely not stored the message: the subject ends otherwise than expected, or there is no stream. */
function isRefused(error: unknown): boolean {
  return hasCode(error, WRONG_LAST_SEQUENCE) || (error instanceof NatsError && error.code === ErrorCode.NoResponders)
}
