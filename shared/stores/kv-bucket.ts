import type { KV } from 'nats'
import { isWrongLastSequence } from '../nats/jetstream.ts'
import { toKey } from './kv-keys.ts'

/** The bucket's name in human-readable messages. */
export const BUCKET = 'the bucket'

/**
 * The key that marks a bucket as initialized. No id is encoded as this key, because ids start with a letter or digit.
 */
export const INITIALIZED = '_filled'

/** Number of entries that are written concurrently. */
const BATCH = 256

/** Entries by id, as JSON. */
export type Entries = Map<string, string>

/**
 * Writes the defaults to a new bucket. Writes INITIALIZED last, so that an interrupted initialization resumes. Never
 * overwrites a key or recreates a deleted key, so instances may initialize a bucket concurrently.
 */
export async function initialize(kv: KV, defaults: Entries): Promise<void> {
  if (await kv.get(INITIALIZED)) return
  await createAll(kv, defaults)
  await createIfMissing(kv, INITIALIZED, '')
}

/**
 * Fills a new bucket, which replaces a deleted one, with the entries that this instance holds. Values already in the
 * new bucket take precedence, unless they are defaults from an instance that never read the old bucket.
 */
export async function restore(kv: KV, held: Entries, defaults: Entries): Promise<void> {
  await createAll(kv, held)
  await createIfMissing(kv, INITIALIZED, '')
  for (const [id, value] of defaults) if (held.get(id) !== value) await replaceDefault(kv, id, value, held.get(id))
}

/** Checks that the bucket stores writes; throws if it does not. */
export async function probeWrite(kv: KV): Promise<void> {
  const marker = await kv.get(INITIALIZED)
  // The expected revision keeps a recreated bucket from being marked as initialized before it is filled.
  await kv.put(INITIALIZED, '', { previousSeq: marker?.revision ?? 0 })
}

async function createAll(kv: KV, entries: Entries): Promise<void> {
  const queue = [...entries]
  while (queue.length > 0) {
    await Promise.all(queue.splice(0, BATCH).map(([id, value]) => createIfMissing(kv, toKey(id), value)))
  }
}

function createIfMissing(kv: KV, key: string, value: string): Promise<void> {
  // Unlike create(), this does not recreate a deleted key.
  return unlessOutdated(kv.put(key, value, { previousSeq: 0 }))
}

async function replaceDefault(kv: KV, id: string, value: string, held: string | undefined): Promise<void> {
  const key = toKey(id)
  const entry = await kv.get(key)
  if (entry?.operation !== 'PUT' || entry.string() !== value) return
  const previousSeq = entry.revision
  await unlessOutdated(held === undefined ? kv.delete(key, { previousSeq }) : kv.put(key, held, { previousSeq }))
}

/** Ignores the error if another write came first. */
async function unlessOutdated(write: Promise<unknown>): Promise<void> {
  try {
    await write
  } catch (error) {
    if (!isWrongLastSequence(error)) throw error
  }
}
