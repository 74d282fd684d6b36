import type { KV, KvEntry } from 'nats'
import type { z } from 'zod'
import type { DependencyState } from '../contracts/readiness.ts'
import { isWrongLastSequence } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import type { Logger } from '../runtime/log.ts'
import { toReason } from '../runtime/reason.ts'
import { retry } from '../runtime/retry.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import { createMapStore } from './map-store.ts'
import type { Store } from './store.ts'

const API_TIMEOUT_MS = 1_000

/** The key that marks the bucket as initialized. It is not the encoding of any id. */
const INITIALIZED = '_filled'

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
    state: () => DependencyState
    /** Whether the bucket has been read once. Until then every operation throws UnavailableError. */
    isLoaded: () => boolean
  }

/**
 * Mirrors a JetStream key-value bucket in memory. Reads are served from memory. Writes resolve once the bucket has
 * stored them, and are replicated to every instance. While NATS is down, reads continue and writes throw
 * UnavailableError.
 */
export function createKvStore<Value>({ nats, bucket, schema, defaults, log }: Options<Value>): KvStore<Value> {
  const closing = new AbortController()
  const values = createMapStore<Value>()
  /** The last known revision of each id, so that a late update does not overwrite a newer one. */
  const revisions = new Map<string, number>()
  let incarnation: string | undefined
  let isLoaded = false
  let kv: KV | undefined

  async function mirror(onLoaded: () => void): Promise<void> {
    try {
      await nats.up(closing.signal)
      await watchUntilDown(onLoaded)
    } finally {
      kv = undefined
    }
    throw new Error('the watch ended')
  }

  async function watchUntilDown(onLoaded: () => void): Promise<void> {
    const down = AbortSignal.any([closing.signal, nats.down()])
    const opened = await nats.connection().jetstream({ timeout: API_TIMEOUT_MS }).views.kv(bucket, { history: 1 })
    await initialize(opened)
    await dropOtherIncarnation(opened)
    const updates = await opened.watch()
    const stop = () => updates.stop()
    down.addEventListener('abort', stop, { once: true })
    if (down.aborted) stop()
    for await (const update of updates) {
      apply(update)
      // The last initial value has delta 0. There is always one: the INITIALIZED key.
      if (update.delta === 0 && !kv) {
        kv = opened
        isLoaded = true
        onLoaded()
      }
    }
  }

  async function initialize(opened: KV): Promise<void> {
    if (await opened.get(INITIALIZED)) return
    for (const [id, value] of defaults) await createIfMissing(opened, toKey(id), JSON.stringify(value))
    await createIfMissing(opened, INITIALIZED, '')
  }

  /** If the bucket was deleted and recreated, drops the values and revisions of the old one. */
  async function dropOtherIncarnation(opened: KV): Promise<void> {
    const { created } = (await opened.status()).streamInfo
    if (incarnation !== undefined && incarnation !== created) {
      for (const id of [...revisions.keys()]) void values.delete(id)
      revisions.clear()
    }
    incarnation = created
  }

  function apply(entry: KvEntry): void {
    const { key, operation, revision } = entry
    if (key === INITIALIZED) return
    const id = toId(key)
    if (!advance(id, revision)) return
    if (operation !== 'PUT') return void values.delete(id)
    const parsed = schema.safeParse(parseJson(entry.string()))
    if (parsed.success) void values.set(id, parsed.data)
    else log.warn({ bucket, key, reason: parsed.error.message }, 'invalid entry in the bucket; ignored')
  }

  /** @returns false if a newer revision is known */
  function advance(id: string, revision: number): boolean {
    if (revision <= (revisions.get(id) ?? 0)) return false
    revisions.set(id, revision)
    return true
  }

  async function write(id: string, work: (kv: KV, key: string) => Promise<unknown>): Promise<void> {
    if (!kv || nats.state() !== 'up') throw new UnavailableError(`the bucket ${bucket} is not writable`)
    try {
      await work(kv, toKey(id))
    } catch (cause) {
      throw new UnavailableError(`the bucket ${bucket} did not acknowledge a write`, { cause })
    }
  }

  function loaded(): Store<Value> {
    if (!isLoaded) throw new UnavailableError(`the bucket ${bucket} has not been read yet`)
    return values
  }

  const mirroring = retry(mirror, {
    signal: closing.signal,
    initialMs: 250,
    onFailure(error) {
      // While NATS is down, the link has already logged it.
      if (nats.state() === 'up') log.warn({ bucket, reason: toReason(error) }, 'cannot mirror the bucket; retrying')
    },
  })
  return {
    state: () => (kv && nats.state() === 'up' ? 'up' : 'down'),
    isLoaded: () => isLoaded,
    get: (id) => loaded().get(id),
    list: (range) => loaded().list(range),
    async set(id, value) {
      await write(id, async (kv, key) => {
        // The acknowledgement has the revision, so there is no need to read the entry back.
        const revision = await kv.put(key, JSON.stringify(value))
        if (advance(id, revision)) await values.set(id, value)
      })
    },
    async delete(id) {
      if (loaded().get(id) === undefined) return false
      await write(id, async (kv, key) => {
        await kv.delete(key)
        const entry = await kv.get(key)
        if (entry) apply(entry)
      })
      return true
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      await mirroring
    },
  }
}

async function createIfMissing(kv: KV, key: string, value: string): Promise<void> {
  try {
    await kv.create(key, value)
  } catch (error) {
    if (!isWrongLastSequence(error)) throw error
  }
}

/** Keys allow fewer characters than ids, and no consecutive dots. Others are encoded as `=` and two hex digits. */
function toKey(id: string): string {
  return id.replaceAll(/[^\w-]/g, (character) => `=${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

function toId(key: string): string {
  return key.replaceAll(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
