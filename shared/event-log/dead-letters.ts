import { headers, type JetStreamClient, type JetStreamManager, type JsMsg, type MsgHdrs } from 'nats'
import { hasCode, lastMessage, WRONG_LAST_SEQUENCE } from '../nats/jetstream.ts'
import type { Logger } from '../runtime/log.ts'
import { DEAD_LETTERS, STREAM } from './stream.ts'

/** Headers of a dead letter: its original sequence and subject, and why it was rejected. */
const SEQUENCE = 'Rejected-Sequence'
const SUBJECT = 'Rejected-Subject'
export const REASON = 'Rejected-Reason'

const MAX_REASON = 500

export type DeadLetters = {
  /** Copies a message to the dead-letter subject. Idempotent, with any number of readers. */
  keep(message: JsMsg, reason: string): Promise<void>
}

type Deps = { js: JetStreamClient; jsm: JetStreamManager; log: Logger }

/**
 * Dead letters are stored in log order, because every reader encounters them in that order. So a message is new if its
 * sequence is greater than that of the last dead letter.
 */
export function createDeadLetters({ js, jsm, log }: Deps): DeadLetters {
  async function readLast() {
    const stored = await lastMessage(jsm, STREAM, DEAD_LETTERS)
    return { at: stored?.seq ?? 0, original: Number(stored?.header.get(SEQUENCE) || 0) }
  }

  return {
    async keep(message, reason) {
      log.warn({ subject: message.subject, sequence: message.seq, reason }, 'dead letter: not a valid batch of views')
      for (let last = await readLast(); last.original < message.seq; last = await readLast()) {
        try {
          await js.publish(DEAD_LETTERS, message.data, {
            headers: toHeaders(message, reason),
            expect: { lastSubjectSequence: last.at },
          })
          return
        } catch (error) {
          if (!hasCode(error, WRONG_LAST_SEQUENCE)) throw error
        }
      }
    },
  }
}

/** The original headers, except those with a meaning for the server, and the reason. */
function toHeaders(message: JsMsg, reason: string): MsgHdrs {
  const all = headers()
  for (const name of message.headers?.keys() ?? []) {
    if (!/^nats-/i.test(name)) all.set(name, message.headers?.get(name) ?? '')
  }
  all.set(SEQUENCE, String(message.seq))
  all.set(SUBJECT, message.subject)
  all.set(REASON, reason.replace(/\s+/g, ' ').slice(0, MAX_REASON))
  return all
}
