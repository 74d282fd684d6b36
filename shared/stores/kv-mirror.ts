import type { KV, StreamInfo } from 'nats'
import type { z } from 'zod'
import { openJetStreamManager, toStreamReason } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import { assertLed, describeOutage } from '../nats/quorum.ts'
import { createReplication, type ReplicationSettings } from '../nats/replication.ts'
import type { Logger } from '../runtime/log.ts'
import { raceAbort } from '../runtime/race-abort.ts'
import { retry } from '../runtime/retry.ts'
import { createTransitionLog } from '../runtime/transition-log.ts'
import { BUCKET, type Entries, initialize, restore } from './kv-bucket.ts'
import { createKvReplica, type KvReplica } from './kv-replica.ts'
import { watchBucket } from './kv-watch.ts'

const API_TIMEOUT_MS = 1_000

export type MirrorOptions<Value> = Pick<ReplicationSettings, 'replicas'> & {
  nats: NatsLink
  /** The bucket's name. Each service has its own bucket. */
  bucket: string
  schema: z.ZodType<Value>
  /** Written only to a new bucket, so that a deleted default stays deleted. */
  defaults: [id: string, value: Value][]
  log: Logger
}

type KvMirror<Value> = AsyncDisposable & {
  /** The bucket; undefined while its updates do not arrive. */
  bucket: () => KV | undefined
  /** Why the bucket's updates do not arrive, or why it does not store writes. */
  reason: () => string | undefined
  /** A problem with the bucket's replicas, in one line. */
  problem: () => string | undefined
  /** The entries that were last read; undefined until the bucket has been read once. */
  replica: () => KvReplica<Value> | undefined
  /** Resolves once the bucket has been read. */
  loaded: Promise<void>
}

/**
 * Keeps a replica of a bucket up to date. If the bucket is deleted, recreates it with the replica's entries.
 * @param onChecked called about once a second while updates are received
 */
export function createKvMirror<Value>(
  options: MirrorOptions<Value>,
  onChecked: (bucket: KV) => Promise<void>,
): KvMirror<Value> {
  const { nats, bucket, defaults, log, replicas } = options
  const replication = createReplication({ nats, log, name: `the bucket ${bucket}`, replicas, isOwner: true })
  const shutdown = new AbortController()
  const defaultEntries: Entries = new Map(defaults.map(([id, value]) => [id, JSON.stringify(value)]))
  const loading = Promise.withResolvers<void>()
  let replica: KvReplica<Value> | undefined
  /** The creation time of the bucket that the replica mirrors. */
  let incarnation: string | undefined
  let current: KV | undefined
  let failure = 'not read yet'
  /** Why writes fail even though updates still arrive. */
  let outage: string | undefined
  const report = createTransitionLog(log.child({ bucket }), {
    failing: 'cannot mirror the bucket; retrying',
    recovered: 'mirroring the bucket again',
  })

  async function mirror(resetBackoff: () => void): Promise<never> {
    await nats.up(shutdown.signal)
    const signal = AbortSignal.any([shutdown.signal, nats.down()])
    const { kv, created, end } = await raceAbort(open(), signal)
    // If the first read is interrupted, the next attempt starts over with an empty replica.
    const target = replica ?? createKvReplica(options)
    if (incarnation !== created) target.forgetRevisions()
    incarnation = created
    const onLoaded = () => {
      setLoaded(kv, target)
      resetBackoff()
    }
    try {
      const onBucketChecked = async (info: StreamInfo) => {
        outage = describeOutage(info, BUCKET)
        void replication.check(await openJetStreamManager(nats), info)
        await onChecked(kv)
      }
      await watchBucket({ kv, created, end, signal, apply: target.apply, onLoaded, onChecked: onBucketChecked })
    } finally {
      current = undefined
    }
    throw new Error('the watch ended')
  }

  /** Opens the bucket. Fills a new bucket from the replica or, before the first read, from the defaults. */
  async function open(): Promise<{ kv: KV; created: string; end: number }> {
    const js = nats.connection().jetstream({ timeout: API_TIMEOUT_MS })
    // Direct gets are off, because they may read a replica that lags behind.
    const settings = { history: 1, allow_direct: false }
    const kv = await replication.create(({ num_replicas = 1 }) =>
      js.views.kv(bucket, { ...settings, replicas: num_replicas }),
    )
    const { created, state } = assertLed((await kv.status()).streamInfo, BUCKET)
    if (!replica) await initialize(kv, defaultEntries)
    else if (incarnation !== created || state.messages === 0) await restoreFrom(replica, kv)
    return { kv, created, end: (await kv.status()).streamInfo.state.last_seq }
  }

  async function restoreFrom(source: KvReplica<Value>, kv: KV): Promise<void> {
    const held = source.entries()
    await restore(kv, held, defaultEntries)
    log.warn({ bucket, entries: held.size }, 'the bucket was deleted; restored from memory')
  }

  function setLoaded(kv: KV, target: KvReplica<Value>): void {
    current = kv
    outage = undefined
    replica = target
    loading.resolve()
    report()
  }

  const mirroring = retry(mirror, {
    signal: shutdown.signal,
    initialMs: 250,
    onFailure(error) {
      failure = toStreamReason(error, BUCKET, nats)
      // If NATS is down, the link has already logged the outage.
      if (nats.state() === 'up') report(error)
    },
  })

  return {
    bucket: () => current,
    reason: () => (current ? outage : failure),
    problem: replication.problem,
    replica: () => replica,
    loaded: loading.promise,
    async [Symbol.asyncDispose]() {
      shutdown.abort()
      await mirroring
    },
  }
}
