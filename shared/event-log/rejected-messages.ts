import { headers, type JetStreamClient, type JetStreamManager, type JsMsg, type MsgHdrs } from 'nats'
import { hasCode, lastMessage, WRONG_LAST_SEQUENCE } from '../nats/jetstream.ts'
import type { Logger } from '../runtime/log.ts'
import { REJECTED, STREAM } from './stream.ts'

/** Headers of a rejected message: where it stood in the log, and what was wrong with it. */
const SEQUENCE = 'Rejected-Sequence'
const SUBJECT = 'Rejected-Subject'
export const REASON = 'Rejected-Reason'

const MAX_REASON = 500

export type RejectedMessages = {
  /** Copies a message to `events.rejected`, once, however often and by however many readers it is met. */
  keep(message: JsMsg, reason: string): Promise<void>
}

/**
 * Readers meet rejected messages in the log's order, so those that are kept up to a sequence are all that there are
 * up to there: the last one kept tells whether the next is new.
 */
export function createRejectedMessages({
  js,
  jsm,
  log,
}: {
  js: JetStreamClient
  jsm: JetStreamManager
  log: Logger
}): RejectedMessages {
  async function lastKept() {
    const stored = await lastMessage(jsm, STREAM, REJECTED)
    return { at: stored?.seq ?? 0, sequence: Number(stored?.header.get(SEQUENCE) || 0) }
  }

  return {
    async keep(message, reason) {
      log.warn({ subject: message.subject, sequence: message.seq, reason }, 'message rejected: no valid batch of views')
      for (let kept = await lastKept(); kept.sequence < message.seq; kept = await lastKept()) {
        try {
          await js.publish(REJECTED, message.data, {
            headers: rejectedHeaders(message, reason),
            expect: { lastSubjectSequence: kept.at },
          })
          return
        } catch (error) {
          if (!hasCode(error, WRONG_LAST_SEQUENCE)) throw error
        }
      }
    },
  }
}

/** The message's own headers but for those that instruct the server, and what was wrong. */
function rejectedHeaders(message: JsMsg, reason: string): MsgHdrs {
  const all = headers()
  for (const name of message.headers?.keys() ?? []) {
    if (!/^nats-/i.test(name)) all.set(name, message.headers?.get(name) ?? '')
  }
  all.set(SEQUENCE, String(message.seq))
  all.set(SUBJECT, message.subject)
  all.set(REASON, reason.replace(/\s+/g, ' ').slice(0, MAX_REASON))
  return all
}
