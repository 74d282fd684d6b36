import type { JetStreamClient, JsMsg, MsgHdrs } from 'nats'
import type { Logger } from '../runtime/log.ts'
import { toLine } from '../runtime/printable.ts'
import type { DeadLetterIndex } from './dead-letter-index.ts'
import { BODY_OMITTED, copyHeaders, OWN_HEADER_BYTES, setRejected } from './rejected-headers.ts'
import { DEAD_LETTERS } from './stream.ts'

const MAX_LOGGED = 1_000

type RejectedMessage = Pick<JsMsg, 'subject' | 'data'> & {
  sequence: number
  reason: string
  /** Returns the message's headers. Throws if they are malformed. */
  headers: () => MsgHdrs | undefined
}

export type DeadLetterWriter = {
  /** Queues a message for the next flush(), which copies it to the dead-letter subject. */
  add(message: RejectedMessage): void
  /** Resolves once every added message is stored. Messages that are already stored or resolved are not stored again. */
  flush(): Promise<void>
}

type Deps = { js: JetStreamClient; maxPayload: number; index: DeadLetterIndex; log: Logger }

/** Stores each dead letter once, regardless of the number of readers and restarts. */
export function createDeadLetterWriter({ js, maxPayload, index, log }: Deps): DeadLetterWriter {
  let queue: RejectedMessage[] = []

  async function store(message: RejectedMessage): Promise<void> {
    const { sequence, subject, data, reason } = message
    if (index.copyOf(sequence) !== undefined || index.resolutionOf(sequence)) return
    const room = maxPayload - OWN_HEADER_BYTES
    const fits = data.length <= room
    const copied = copyHeaders(message.headers, fits ? room - data.length : room)
    setRejected(copied, { sequence, subject, reason, size: data.length })
    if (!fits) copied.set(BODY_OMITTED, 'too-large')
    // Deduplicates the copies if two readers handle the same message at the same time.
    const options = { headers: copied, msgID: `dead-letter-${index.incarnation()}-${sequence}` }
    const { duplicate } = await js.publish(DEAD_LETTERS, fits ? data : new Uint8Array(), options)
    if (duplicate) return
    const line = { subject: toLine(subject, MAX_LOGGED), sequence, reason: toLine(reason, MAX_LOGGED) }
    log.warn(line, 'dead letter: not a valid batch of views')
  }

  return {
    add(message) {
      queue.push(message)
    },
    async flush() {
      if (queue.length === 0) return
      const messages = queue
      queue = []
      await index.refresh()
      await Promise.all(messages.map(store))
    },
  }
}
