import { AckPolicy, type Consumer, type ConsumerInfo, DeliverPolicy, type JetStreamManager, nanos } from 'nats'
import type { NatsLink } from '../nats/link.ts'
import type { LogExtent } from './extent.ts'
import { STREAM } from './stream.ts'

type Options = {
  subject: string
  /** The sequence of the first message to read. */
  from: number
  /** The server removes the consumer once it has been idle for this long. */
  idleMs: number
  /** If true, messages are delivered without their bodies. */
  headersOnly?: boolean
}

/** An ephemeral consumer without acknowledgements. */
export async function createConsumer(
  nats: Pick<NatsLink, 'connection'>,
  jsm: JetStreamManager,
  { subject, from, idleMs, headersOnly = false }: Options,
): Promise<Consumer> {
  const { name } = await jsm.consumers.add(STREAM, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: from,
    filter_subject: subject,
    ack_policy: AckPolicy.None,
    inactive_threshold: nanos(idleMs),
    headers_only: headersOnly,
    mem_storage: true,
    num_replicas: 1,
  })
  return nats.connection().jetstream().consumers.get(STREAM, name)
}

type Read = { delivered: number; reached: number; readExtent: () => Promise<LogExtent> }

/**
 * Returns the sequence up to which every view was read: the end of the log if no view follows, otherwise `reached`.
 * Messages that are not views, such as copies of dead letters, may follow the last view. Counting them as read keeps
 * them from looking like lost views once they expire.
 */
export async function findEnd(consumer: Consumer, { delivered, reached, readExtent }: Read): Promise<number> {
  await assertNoneLost(consumer, delivered)
  const { last } = await readExtent()
  // Read the end of the log before the consumer info, so that a view stored in between counts as pending.
  return last > reached && (await assertNoneLost(consumer, delivered)).num_pending === 0 ? last : reached
}

/**
 * Without acknowledgements, messages that the server sent to an abandoned pull are never redelivered. The next message
 * reveals the gap. If no message follows, only the server's delivery count reveals it.
 */
async function assertNoneLost(consumer: Consumer, delivered: number): Promise<ConsumerInfo> {
  const info = await consumer.info()
  if (info.delivered.consumer_seq !== delivered) throw new Error('messages were lost in delivery')
  return info
}
