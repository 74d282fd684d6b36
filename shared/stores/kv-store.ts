import type { KV, KvEntry } from 'nats'
import type { z } from 'zod'
import { hasCode, WRONG_LAST_SEQUENCE } from '../nats/jetstream.ts'
import type { NatsLink } from '../nats/link.ts'
import type { DependencyState } from '../runtime/health.ts'
import type { Logger } from '../runtime/log.ts'
import { pause } from '../runtime/pause.ts'
import { reasonOf } from '../runtime/reason.ts'
import { UnavailableError } from '../runtime/unavailable.ts'
import { createMapStore } from './map-store.ts'
import type { Store } from './store.ts'

const API_TIMEOUT_MS = 1_000
const RETRY_MS = 250
/** The key that says that the defaults were filled in. No id is encoded to it. */
const FILLED = '_filled'

type Options<Value> = {
  nats: NatsLink
  /** The name of the bucket, one per service. */
  bucket: string
  schema: z.ZodType<Value>
  /** What a new bucket is filled with, once: what is deleted of it later stays deleted. */
  defaults: [id: string, value: Value][]
  log: Logger
}

export type KvStore<Value> = Store<Value> &
  AsyncDisposable & {
    state: () => DependencyState
    /** Whether the bucket was read. Before, everything throws UnavailableError, for nobody knows what there is. */
    isLoaded: () => boolean
  }

/**
 * A map that follows a JetStream key-value bucket: reading stays in memory, a write resolves when the bucket has it, and
 * every instance sees it. While NATS is away reading goes on, and writing throws UnavailableError.
 */
export function createKvStore<Value>({ nats, bucket, schema, defaults, log }: Options<Value>): KvStore<Value> {
  const closing = new AbortController()
  const values = createMapStore<Value>()
  /** The revision of the last change that was seen of each key: what is told late must not undo it. */
  const revisions = new Map<string, number>()
  let incarnation: string | undefined
  let loaded = false
  let kv: KV | undefined

  async function follow(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        await nats.up(closing.signal)
        await followUntilDown()
      } catch (error) {
        if (!closing.signal.aborted) log.warn({ bucket, reason: reasonOf(error) }, 'the bucket cannot be followed')
      }
      kv = undefined
      await pause(RETRY_MS, closing.signal)
    }
  }

  async function followUntilDown(): Promise<void> {
    const down = AbortSignal.any([closing.signal, nats.down()])
    const opened = await nats.connection().jetstream({ timeout: API_TIMEOUT_MS }).views.kv(bucket, { history: 1 })
    await fillOnce(opened)
    await forgetOlder(opened)
    const changes = await opened.watch()
    const stop = () => changes.stop()
    down.addEventListener('abort', stop, { once: true })
    if (down.aborted) stop()
    for await (const change of changes) {
      apply(change)
      // The bucket is never empty: at least it says that it was filled.
      if (change.delta === 0 && !kv) {
        kv = opened
        loaded = true
      }
    }
  }

  async function fillOnce(opened: KV): Promise<void> {
    if (await opened.get(FILLED)) return
    for (const [id, value] of defaults) await createIfNew(opened, keyOf(id), JSON.stringify(value))
    await createIfNew(opened, FILLED, '')
  }

  /** The revisions of a bucket that was deleted and made again say nothing of the new one, nor do its values. */
  async function forgetOlder(opened: KV): Promise<void> {
    const { created } = (await opened.status()).streamInfo
    if (incarnation !== undefined && incarnation !== created) {
      for (const id of [...revisions.keys()]) void values.delete(id)
      revisions.clear()
    }
    incarnation = created
  }

  function apply(entry: KvEntry): void {
    const { key, operation, revision } = entry
    if (key === FILLED) return
    const id = idOf(key)
    if (!advance(id, revision)) return
    if (operation !== 'PUT') return void values.delete(id)
    const parsed = schema.safeParse(parseJson(entry.string()))
    if (parsed.success) void values.set(id, parsed.data)
    else log.warn({ bucket, key, reason: parsed.error.message }, 'an entry of the bucket is not valid; ignored')
  }

  /** @returns false where a later change of the entry is known */
  function advance(id: string, revision: number): boolean {
    if (revision <= (revisions.get(id) ?? 0)) return false
    revisions.set(id, revision)
    return true
  }

  /** Does a write, or says that it cannot be done now. */
  async function write(id: string, work: (kv: KV, key: string) => Promise<unknown>): Promise<void> {
    if (!kv || nats.state() !== 'up') throw new UnavailableError(`the bucket ${bucket} cannot be written`)
    try {
      await work(kv, keyOf(id))
    } catch (cause) {
      throw new UnavailableError(`the bucket ${bucket} does not confirm a write`, { cause })
    }
  }

  function read(): Store<Value> {
    if (!loaded) throw new UnavailableError(`the bucket ${bucket} is not read yet`)
    return values
  }

  const following = follow()
  return {
    state: () => (kv && nats.state() === 'up' ? 'up' : 'down'),
    isLoaded: () => loaded,
    get: (id) => read().get(id),
    list: (range) => read().list(range),
    async set(id, value) {
      await write(id, async (kv, key) => {
        // The revision is in the acknowledgement: reading the entry back would double the time of a write.
        const revision = await kv.put(key, JSON.stringify(value))
        if (advance(id, revision)) await values.set(id, value)
      })
    },
    async delete(id) {
      if (read().get(id) === undefined) return false
      await write(id, async (kv, key) => {
        await kv.delete(key)
        const entry = await kv.get(key)
        if (entry) apply(entry)
      })
      return true
    },
    async [Symbol.asyncDispose]() {
      closing.abort()
      await following
    },
  }
}

async function createIfNew(kv: KV, key: string, value: string): Promise<void> {
  try {
    await kv.create(key, value)
  } catch (error) {
    if (!hasCode(error, WRONG_LAST_SEQUENCE)) throw error
  }
}

/** A key may have fewer characters than an id, and no dots in a row: those are written as `=` and two hex digits. */
function keyOf(id: string): string {
  return id.replaceAll(/[^\w-]/g, (character) => `=${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

function idOf(key: string): string {
  return key.replaceAll(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
