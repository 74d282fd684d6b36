import type { Consumer, JetStreamManager, JsMsg } from 'nats'
import { nextMessage } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { createConsumer } from './jetstream-consumer.ts'
import { STREAM } from './stream.ts'

const FETCH_MESSAGES = 1_000
/** Fewer messages per pull than without bodies, because a message with its body may be as large as 1 MiB. */
const FETCH_BODIES = 100
const FETCH_EXPIRES_MS = 2_000
const IDLE_MS = 10_000

/**
 * Yields the messages on a subject from a sequence up to the current end, by default without their bodies.
 * @throws Error if messages do not arrive
 */
export async function* scan(
  nats: Pick<NatsLink, 'connection'>,
  jsm: JetStreamManager,
  subject: string,
  from: number,
  { withBodies = false }: { withBodies?: boolean } = {},
): AsyncGenerator<JsMsg> {
  let next = from
  // Creating a consumer costs more than this check, and usually there are no new messages.
  while (await nextMessage(jsm, STREAM, subject, next)) {
    const start = next
    const consumer = await createConsumer(nats, jsm, { subject, from: next, idleMs: IDLE_MS, headersOnly: !withBodies })
    try {
      for await (const message of readAll(consumer, withBodies ? FETCH_BODIES : FETCH_MESSAGES)) {
        next = message.seq + 1
        yield message
      }
    } finally {
      await consumer.delete().catch(() => false)
    }
    // The messages may have been removed since the check.
    if (next === start && (await nextMessage(jsm, STREAM, subject, next))) {
      throw new Error('the messages were not delivered')
    }
  }
}

/** Ends early if messages are lost in delivery. */
async function* readAll(consumer: Consumer, maxMessages: number): AsyncGenerator<JsMsg> {
  for (let pending = (await consumer.info(true)).num_pending; pending > 0; ) {
    let missing = Math.min(pending, maxMessages)
    for await (const message of await consumer.fetch({ max_messages: missing, expires: FETCH_EXPIRES_MS })) {
      missing -= 1
      pending = message.info.pending
      yield message
    }
    // After a timeout, the server considers messages as delivered that were still on their way to this process.
    if (missing > 0) return
  }
}
