import { AckPolicy, type Consumer, DeliverPolicy, type JetStreamManager, type JsMsg, nanos } from 'nats'
import { nextMessage } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { STREAM } from './stream.ts'

const FETCH_MESSAGES = 1_000
/** Fewer messages per pull than without bodies, because a message with its body may be as large as 1 MiB. */
const FETCH_BODIES = 100
const FETCH_EXPIRES_MS = 2_000
const CONSUMER_IDLE_MS = 10_000

type Options = { withBodies?: boolean }

/**
 * Yields the messages on a subject from a sequence up to the current end, by default without their bodies.
 * @throws Error if messages do not arrive
 */
export async function* scan(
  nats: Pick<NatsLink, 'connection'>,
  jsm: JetStreamManager,
  subject: string,
  from: number,
  options: Options = {},
): AsyncGenerator<JsMsg> {
  let next = from
  // Creating a consumer costs more than this check, and usually there are no new messages.
  while (await nextMessage(jsm, STREAM, subject, next)) {
    const start = next
    for await (const message of readFrom(nats, jsm, subject, start, options)) {
      next = message.seq + 1
      yield message
    }
    // The messages may have been removed since the check.
    if (next === start && (await nextMessage(jsm, STREAM, subject, next))) {
      throw new Error('the messages were not delivered')
    }
  }
}

/** Like scan, but ends early if messages are lost in delivery. */
async function* readFrom(
  nats: Pick<NatsLink, 'connection'>,
  jsm: JetStreamManager,
  subject: string,
  from: number,
  { withBodies = false }: Options,
): AsyncGenerator<JsMsg> {
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
