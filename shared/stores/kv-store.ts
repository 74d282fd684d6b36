import type { KV } from 'nats'
import type { DependencyState } from '../contracts/readiness.ts'
import { toStreamReason } from '../nats/jetstream.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import { BUCKET, probeWrite } from './kv-bucket.ts'
import { toKey } from './kv-keys.ts'
import { createKvMirror, type MirrorOptions } from './kv-mirror.ts'
import type { KvReplica } from './kv-replica.ts'
import type { Store } from './store.ts'

type KvStore<Value> = Store<Value> &
  AsyncDisposable & {
    /** Up while updates arrive, unless the last write failed. */
    state: () => DependencyState
    /** Why the store is not up. */
    reason: () => string | undefined
    /** A problem with the bucket's replicas, in one line. The bucket may still be up. */
    problem: () => string | undefined
    /** True once the bucket has been read. Until then, every operation throws UnavailableError. */
    isLoaded: () => boolean
    /** Resolves once the bucket has been read. */
    loaded: Promise<void>
  }

/**
 * Mirrors a JetStream key-value bucket in memory. Reads are served from memory. Writes resolve once the bucket has
 * stored them, and are replicated to every instance. While NATS is down, reads continue and writes throw
 * UnavailableError. If the bucket is deleted, every instance writes back the entries that it holds.
 */
export function createKvStore<Value>(options: MirrorOptions<Value>): KvStore<Value> {
  const { nats, bucket } = options
  let writeFailure: string | undefined
  const mirror = createKvMirror(options, async (kv) => {
    if (writeFailure !== undefined) await attempt(probeWrite(kv)).catch(() => undefined)
  })

  /** Records the outcome of a write, which determines the store's state. */
  async function attempt(write: Promise<unknown>): Promise<void> {
    try {
      await write
      writeFailure = undefined
    } catch (error) {
      writeFailure = toStreamReason(error, BUCKET, nats)
      throw error
    }
  }

  /**
   * @param work performs the write, and returns a callback that runs once the write is stored, unless the bucket was
   *   replaced in the meantime
   */
  async function write(id: string, work: (kv: KV, key: string) => Promise<() => void>): Promise<void> {
    const kv = mirror.bucket()
    if (!kv || nats.state() !== 'up' || mirror.reason() !== undefined)
      throw new UnavailableError(`the bucket ${bucket} is not writable`)
    try {
      const writing = work(kv, toKey(id))
      await attempt(writing)
      const onStored = await writing
      if (mirror.bucket() === kv) onStored()
    } catch (cause) {
      throw new UnavailableError(`the bucket ${bucket} did not acknowledge a write`, { cause })
    }
  }

  function loadedReplica(): KvReplica<Value> {
    const replica = mirror.replica()
    if (!replica) throw new UnavailableError(`the bucket ${bucket} has not been read yet`)
    return replica
  }

  const reason = () => nats.reason() ?? writeFailure ?? mirror.reason()
  return {
    state: () => (reason() === undefined && nats.state() === 'up' ? 'up' : 'down'),
    reason,
    problem: mirror.problem,
    isLoaded: () => mirror.replica() !== undefined,
    loaded: mirror.loaded,
    get: (id) => loadedReplica().values.get(id),
    list: (range) => loadedReplica().values.list(range),
    async set(id, value) {
      await write(id, async (kv, key) => {
        // The acknowledgement contains the revision, so there is no need to read the entry back.
        const revision = await kv.put(key, JSON.stringify(value))
        return () => loadedReplica().set(id, value, revision)
      })
    },
    async delete(id) {
      const { values, apply } = loadedReplica()
      if (values.get(id) === undefined) return false
      await write(id, async (kv, key) => {
        await kv.delete(key)
        const entry = await kv.get(key)
        return () => entry && apply(entry)
      })
      return true
    },
    [Symbol.asyncDispose]: mirror[Symbol.asyncDispose],
  }
}
