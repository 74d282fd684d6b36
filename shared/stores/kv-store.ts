import type { KV, KvEntry } from 'nats'
import type { z } from 'zod'
import type { DependencyState } from '../contracts/readiness.ts'
import { toJetStreamReason } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import type { Logger } from '../runtime/log.ts'
import { raceAbort } from '../runtime/race-abort.ts'
import { retry } from '../runtime/retry.ts'
import { sleep } from '../runtime/sleep.ts'
import { createTransitionLog } from '../runtime/transition-log.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import { type Entries, INITIALIZED, initialize, probeWrite, restore } from './kv-bucket.ts'
import { toId, toKey } from './kv-keys.ts'
import { createMapStore } from './map-store.ts'
import type { Store } from './store.ts'

const API_TIMEOUT_MS = 1_000

/** How often to check that the bucket still exists and that the watch receives its updates. */
const CHECK_MS = 1_000

type Options<Value> = {
  nats: NatsLink
  /** The name of the bucket, one per service. */
  bucket: string
  schema: z.ZodType<Value>
  /** Written only to a new bucket, so that a deleted default stays deleted. */
  defaults: [id: string, value: Value][]
  log: Logger
}

export type KvStore<Value> = Store<Value> &
  AsyncDisposable & {
    /** Up while updates are received and the last write was stored. */
    state: () => DependencyState
    /** Why the store is not up. */
    reason: () => string | undefined
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
export function createKvStore<Value>({ nats, bucket, schema, defaults, log }: Options<Value>): KvStore<Value> {
  const closing = new AbortController()
  let values = createMapStore<Value>()
  const defaultEntries: Entries = new Map(defaults.map(([id, value]) => [id, JSON.stringify(value)]))
  /** The last known revision of each key, so that a late update does not overwrite a newer one. */
  const revisions = new Map<string, number>()
  /** The last revision received. */
  let received = 0
  let incarnation: string | undefined
  const loading = Promise.withResolvers<void>()
  let isLoaded = false
  let kv: KV | undefined
  let watchFailure: string | undefined
  const reportWatch = createTransitionLog(log.child({ bucket }), {
    failing: 'cannot mirror the bucket; retrying',
    recovered: 'mirroring the bucket again',
  })
  let writeFailure: string | undefined

  async function mirror(onLoaded: () => void): Promise<never> {
    await nats.up(closing.signal)
    const ended = AbortSignal.any([closing.signal, nats.down()])
    try {
      const opened = await raceAbort(open(), ended)
      await follow(opened, ended, onLoaded)
    } finally {
      kv = undefined
    }
    throw new Error('the watch ended')
  }

  /** Opens the bucket. If it is missing, creates it with the entries that this instance holds, or with the defaults. */
  async function open(): Promise<KV> {
    const js = nats.connection().jetstream({ timeout: API_TIMEOUT_MS })
    const opened = await js.views.kv(bucket, { history: 1 })
    const { created, state } = (await opened.status()).streamInfo
    const isNew = incarnation !== created || state.messages === 0
    if (!isLoaded) {
      values = createMapStore()
      await initialize(opened, defaultEntries)
    } else if (isNew) {
      const held = toEntries()
      await restore(opened, held, defaultEntries)
      log.warn({ bucket, entries: held.size }, 'the bucket was deleted; restored from memory')
    }
    if (isNew) revisions.clear()
    incarnation = created
    received = (await opened.status()).streamInfo.state.last_seq
    return opened
  }

  async function follow(opened: KV, ended: AbortSignal, onLoaded: () => void): Promise<void> {
    const updates = await raceAbort(opened.watch(), ended)
    const stop = new AbortController()
    try {
      await raceAbort(Promise.race([applyAll(), check(opened, AbortSignal.any([ended, stop.signal]))]), ended)
    } finally {
      stop.abort()
      updates.stop()
    }

    async function applyAll(): Promise<void> {
      for await (const update of updates) {
        apply(update)
        // The last initial value has delta 0. The bucket always has at least one key, INITIALIZED.
        if (update.delta !== 0 || kv || stop.signal.aborted) continue
        kv = opened
        isLoaded = true
        loading.resolve()
        watchFailure = undefined
        reportWatch()
        onLoaded()
      }
    }
  }

  /** Returns once `signal` aborts. Throws if the bucket no longer exists, or if its updates are not received. */
  async function check(opened: KV, signal: AbortSignal): Promise<void> {
    let end = 0
    for (;;) {
      await sleep(CHECK_MS, signal)
      if (signal.aborted) return
      const { created, state } = (await opened.status()).streamInfo
      if (created !== incarnation || state.messages === 0) throw new Error('the bucket was deleted')
      if (received < end) throw new Error('updates are not received')
      end = state.last_seq
      if (writeFailure !== undefined) await attempt(probeWrite(opened)).catch(() => undefined)
    }
  }

  /** Notes the outcome of a write, which determines the state of the bucket. */
  async function attempt(write: Promise<unknown>): Promise<void> {
    try {
      await write
      writeFailure = undefined
    } catch (error) {
      writeFailure = toJetStreamReason(error)
      throw error
    }
  }

  function apply(entry: KvEntry): void {
    const { key, operation, revision } = entry
    received = Math.max(received, revision)
    if (key === INITIALIZED || !advance(key, revision)) return
    const id = toId(key)
    if (id === undefined) log.warn({ bucket, key }, 'not the key of an id; ignored')
    else if (operation === 'PUT') applyValue(id, entry)
    else void values.delete(id)
  }

  function applyValue(id: string, entry: KvEntry): void {
    const parsed = schema.safeParse(parseJson(entry.string()))
    if (parsed.success) void values.set(id, parsed.data)
    else log.warn({ bucket, key: entry.key, reason: parsed.error.message }, 'invalid entry in the bucket; ignored')
  }

  /** @returns false if a newer revision is known */
  function advance(key: string, revision: number): boolean {
    if (revision <= (revisions.get(key) ?? 0)) return false
    revisions.set(key, revision)
    return true
  }

  function toEntries(): Entries {
    const { entries } = values.list({ limit: Number.POSITIVE_INFINITY })
    return new Map(entries.map(([id, value]) => [id, JSON.stringify(value)]))
  }

  /** @param work returns what to do once the write is stored, unless the bucket was replaced in the meantime */
  async function write(id: string, work: (kv: KV, key: string) => Promise<() => void>): Promise<void> {
    const current = kv
    if (!current || nats.state() !== 'up') throw new UnavailableError(`the bucket ${bucket} is not writable`)
    try {
      const writing = work(current, toKey(id))
      await attempt(writing)
      const onStored = await writing
      if (kv === current) onStored()
    } catch (cause) {
      throw new UnavailableError(`the bucket ${bucket} did not acknowledge a write`, { cause })
    }
  }

  function readable(): Store<Value> {
    if (!isLoaded) throw new UnavailableError(`the bucket ${bucket} has not been read yet`)
    return values
  }

  const mirroring = retry(mirror, {
    signal: closing.signal,
    initialMs: 250,
    onFailure(error) {
      watchFailure = toJetStreamReason(error)
      // While NATS is down, there is nothing to log, because the link has already logged the outage.
      if (nats.state() === 'up') reportWatch(error)
    },
  })
  const reason = () => nats.reason() ?? writeFailure ?? (kv ? undefined : (watchFailure ?? 'not read yet'))
  return {
    state: () => (reason() === undefined && nats.state() === 'up' ? 'up' : 'down'),
    reason,
    isLoaded: () => isLoaded,
    loaded: loading.promise,
    get: (id) => readable().get(id),
    list: (range) => readable().list(range),
    async set(id, value) {
      await write(id, async (kv, key) => {
        // The acknowledgement has the revision, so there is no need to read the entry back.
        const revision = await kv.put(key, JSON.stringify(value))
        return () => advance(key, revision) && void values.set(id, value)
      })
    },
    async delete(id) {
      if (readable().get(id) === undefined) return false
      await write(id, async (kv, key) => {
        await kv.delete(key)
        const entry = await kv.get(key)
        return () => entry && apply(entry)
      })
      return true
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      await mirroring
    },
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
