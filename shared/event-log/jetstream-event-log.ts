import { openJetStreamManager } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { countOnline } from '../nats/quorum.ts'
import { createReplication, type ReplicationSettings } from '../nats/replication.ts'
import type { Logger } from '../runtime/log.ts'
import { createDeadLetterIndex } from './dead-letter-index.ts'
import { createDeadLetterWriter, type DeadLetterWriter } from './dead-letters.ts'
import type { EventLog, LogReplicas } from './event-log.ts'
import type { LogExtent } from './extent.ts'
import { createJetStreamDeadLetters } from './jetstream-dead-letters.ts'
import { createJetStreamProducer } from './jetstream-producer.ts'
import { createJetStreamReader } from './jetstream-reader.ts'
import { findInStream } from './jetstream-search.ts'
import { createLogHealth } from './log-health.ts'
import { endOf, ensureStream, STREAM, type StreamOptions } from './stream.ts'
import { extentOf, readBacklog } from './stream-status.ts'

/** Assumed if the server does not announce its `max_payload`. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024

type Deps = Omit<StreamOptions, 'replication'> & ReplicationSettings & { nats: NatsLink; log: Logger }

/** The log as a JetStream stream in file storage. */
export function createJetStreamEventLog({ nats, log, replicas, ...retention }: Deps): EventLog {
  const { isOwner = false } = retention
  const replication = createReplication({ nats, log, name: STREAM, replicas, isOwner, isCompressed: true })
  const options = { ...retention, replication }
  let knownReplicas: LogReplicas | undefined
  const health = createLogHealth(nats, {
    onStream(stream, jsm) {
      knownReplicas = { wanted: replicas, configured: stream.config.num_replicas, online: countOnline(stream) }
      void replication.check(jsm, stream)
    },
    onFailure() {
      if (knownReplicas) knownReplicas = { ...knownReplicas, online: 0 }
    },
  })
  const index = createDeadLetterIndex(nats)
  const maxPayload = () => nats.connection().info?.max_payload ?? DEFAULT_MAX_PAYLOAD

  function openWriter(): DeadLetterWriter {
    return createDeadLetterWriter({ js: nats.connection().jetstream(), maxPayload: maxPayload(), index, log })
  }

  async function readExtent(): Promise<LogExtent> {
    return extentOf(await ensureStream(await openJetStreamManager(nats), options))
  }

  return {
    name: 'nats',
    state: health.state,
    reason: health.reason,
    problem: replication.problem,
    replicas: () => (nats.state() === 'up' ? knownReplicas : undefined),
    producer(source, resumed) {
      const producer = createJetStreamProducer({ nats, options, source, resumed, maxPayload })
      return { id: producer.id, append: (views, signal) => health.observe(producer.append(views, signal)) }
    },
    read: createJetStreamReader({ nats, options, index, health, openWriter, readExtent }),
    find: async (id, after, search) => findInStream(nats, id, after, search),
    async reject(sequence, reason) {
      const jsm = await openJetStreamManager(nats)
      const message = await jsm.streams.getMessage(STREAM, { seq: sequence })
      const deadLetters = openWriter()
      const { subject, data } = message
      deadLetters.add({ sequence, subject, data, reason, headers: () => message.header })
      await deadLetters.flush()
    },
    deadLetters: createJetStreamDeadLetters({ nats, index, maxPayload }),
    async end() {
      return endOf(await ensureStream(await openJetStreamManager(nats), options))
    },
    extent: readExtent,
    async backlog(after) {
      return readBacklog(await openJetStreamManager(nats), after)
    },
    [Symbol.asyncDispose]: () => health[Symbol.asyncDispose](),
  }
}
