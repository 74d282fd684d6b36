import { AckPolicy, type Consumer, DeliverPolicy, type JetStreamManager, type JsMsg, nanos } from 'nats'
import { nextMessage } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { STREAM } from './stream.ts'

const FETCH_MESSAGES = 1_000
/** Fewer messages per pull than without bodies, because a message with its body may be as large as 1 MiB. */
const FETCH_BODIES = 100
const FETCH_EXPIRES_MS = 2_000
const CONSUMER_IDLE_MS = 10_000

/** Yields the messages on a subject from a sequence up to the current end, by default without their bodies. */
export async function* scan(
  nats: Pick<NatsLink, 'connection'>,
  jsm: JetStreamManager,
  subject: string,
  from: number,
  { withBodies = false }: { withBodies?: boolean } = {},
): AsyncGenerator<JsMsg> {
  // Creating a consumer costs more than this check, and usually there are no new messages.
  if (!(await nextMessage(jsm, STREAM, subject, from))) return
  const { name } = await jsm.consumers.add(STREAM, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
    filter_subject: subject,
    ack_policy: AckPolicy.None,
    inactive_threshold: nanos(CONSUMER_IDLE_MS),
    headers_only: !withBodies,
    mem_storage: true,
    num_replicas: 1,
  })
  try {
    const consumer = await nats.connection().jetstream().consumers.get(STREAM, name)
    yield* readAll(consumer, withBodies ? FETCH_BODIES : FETCH_MESSAGES)
  } finally {
    await jsm.consumers.delete(STREAM, name).catch(() => false)
  }
}

async function* readAll(consumer: Consumer, maxMessages: number): AsyncGenerator<JsMsg> {
  for (let pending = (await consumer.info(true)).num_pending; pending > 0; ) {
    const max_messages = Math.min(pending, maxMessages)
    const messages = await consumer.fetch({ max_messages, expires: FETCH_EXPIRES_MS })
    let isEmpty = true
    for await (const message of messages) {
      isEmpty = false
      pending = message.info.pending
      yield message
    }
    if (!isEmpty) continue
    // Messages that were pending at the start may have been removed since.
    pending = (await consumer.info()).num_pending
    if (pending > 0) throw new Error('the messages were not delivered')
  }
}
