import type { CountBatch } from '../count-store.ts'
import { toDigest } from '../digest.ts'
import type { KnownKeys } from '../engine.ts'
import type { RuleEvent } from '../rules/view-rule.ts'
import { toIdArray, toNumberArray } from './literals.ts'

/** The maximum number of views with idempotency keys to remember. */
export const MAX_KEYS = 1_000_000

/** A view with an idempotency key, and its number among all keyed views, in log order. */
export type KeyedView = RuleEvent & { number: number }

type KnownKeyedViews = { keys: ReadonlyMap<string, KeyedView>; keyed: number }

/** The last `maxKeys` keyed views, limited to those that were looked up. */
export function createKeyedViews({ keys, keyed }: KnownKeyedViews, maxKeys: number) {
  let last = keyed
  const addedViews = new Map<string, KeyedView>()
  const knownKeys: KnownKeys = {
    find(id) {
      const view = addedViews.get(id) ?? keys.get(id)
      return view && view.number > last - maxKeys ? view : undefined
    },
    add({ id, assetId, userId, at }) {
      last += 1
      addedViews.set(id, { id, assetId, userId, at, number: last })
    },
  }
  return { ...knownKeys, last: () => last, added: () => [...addedViews.values()] }
}

/** The ids of the keyed views in a batch. */
export function keyedOf({ views }: CountBatch): string[] {
  return views.filter(({ keyed }) => keyed).map(({ id }) => id)
}

export function toKeyedKey(id: string): string {
  return toDigest(id).toString('base64url')
}

/** Common table expressions that write keyed views. */
export function toKeyedWrites(views: readonly KeyedView[]): string[] {
  if (views.length === 0) return []
  const columns = [
    toIdArray(views.map(({ id }) => toKeyedKey(id))),
    toNumberArray(views.map(({ number }) => number)),
    toNumberArray(views.map(({ at }) => at)),
    toIdArray(views.map(({ assetId }) => assetId)),
    toIdArray(views.map(({ userId }) => userId)),
  ]
  return [
    `keyed_written as (
      insert into reporting.keyed_view (key, number, at, asset_id, user_id)
      select * from unnest(${columns.join(', ')}) as view(key, number, at, asset_id, user_id)
      where exists (select from moved)
      on conflict (key) do update set number = excluded.number, at = excluded.at,
        asset_id = excluded.asset_id, user_id = excluded.user_id)`,
  ]
}
