import type { KvEntry } from 'nats'
import type { z } from 'zod'
import type { Logger } from '../runtime/log.ts'
import { parseSafely } from '../runtime/parse-safely.ts'
import { type Entries, INITIALIZED } from './kv-bucket.ts'
import { toId, toKey } from './kv-keys.ts'
import { createMapStore } from './map-store.ts'
import type { Store } from './store.ts'

type Deps<Value> = { bucket: string; schema: z.ZodType<Value>; log: Logger }

export type KvReplica<Value> = {
  values: Store<Value>
  entries(): Entries
  /** Applies an update, unless the replica already has a newer revision of the key. */
  apply(entry: KvEntry): void
  /** Sets a value that this process has written, unless the replica already has a newer revision. */
  set(id: string, value: Value, revision: number): void
  /** Keeps the values but forgets their revisions, because the revisions of a recreated bucket start at 1 again. */
  forgetRevisions(): void
}

/** A bucket's entries in memory. */
export function createKvReplica<Value>({ bucket, schema, log }: Deps<Value>): KvReplica<Value> {
  const values = createMapStore<Value>()
  /** The latest revision of each key, which keeps a late update from overwriting a newer value. */
  const revisions = new Map<string, number>()

  function applyValue(id: string, entry: KvEntry): void {
    const parsed = parseSafely(schema, parseJson(entry.string()))
    if (parsed.success) void values.set(id, parsed.data)
    else log.warn({ bucket, key: entry.key, reason: parsed.error.message }, 'invalid entry in the bucket; ignored')
  }

  /** @returns false if the replica already has this revision or a newer one */
  function advance(key: string, revision: number): boolean {
    if (revision <= (revisions.get(key) ?? 0)) return false
    revisions.set(key, revision)
    return true
  }

  return {
    values,
    entries() {
      const { entries } = values.list({ limit: Number.POSITIVE_INFINITY })
      return new Map(entries.map(([id, value]) => [id, JSON.stringify(value)]))
    },
    apply(entry) {
      const { key, operation, revision } = entry
      if (key === INITIALIZED || !advance(key, revision)) return
      const id = toId(key)
      if (id === undefined) log.warn({ bucket, key }, 'the key encodes no id; ignored')
      else if (operation === 'PUT') applyValue(id, entry)
      else void values.delete(id)
    },
    set(id, value, revision) {
      if (advance(toKey(id), revision)) void values.set(id, value)
    },
    forgetRevisions: () => revisions.clear(),
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
