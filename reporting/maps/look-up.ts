import type { CountLookup, Counts, ListedViews, LookedUpCounts } from '../../shared/contracts/view-counts.ts'
import type { CountedBy } from '../count-store.ts'
import type { ViewCounts } from './view-counts.ts'

/** The counts for many ids; see CountStore. */
export function lookUp(counts: Pick<ViewCounts, 'counts' | 'findKeyed'>, ids: CountLookup): LookedUpCounts {
  const { events, details } = ids
  const find = (by: CountedBy, own: readonly string[]): Found[] => own.map((id) => [id, counts.counts(by, id)])
  const [assets, users] = [find('asset', ids.assets), find('user', ids.users)]
  const of = (number: keyof Counts) => ({ assets: numbersOf(assets, number), users: numbersOf(users, number) })

  return {
    ...of('views'),
    ...(details && { qualified: of('qualified'), viewers: numbersOf(assets, 'viewers') }),
    ...(events && { events: findEvents(counts, events) }),
  }
}

/** The views for many ids; see CountStore. */
export function listViews(
  { views, findKeyed, lastSerial }: Pick<ViewCounts, 'views' | 'findKeyed' | 'lastSerial'>,
  { assets, users, events }: CountLookup,
  producer?: string,
): ListedViews {
  const serial = producer === undefined ? undefined : lastSerial(producer)
  return {
    assets: assets.map((id) => views('asset', id)),
    users: users.map((id) => views('user', id)),
    ...(events && { events: findEvents({ findKeyed }, events) }),
    ...(serial !== undefined && { serial }),
  }
}

type Found = [id: string, counts: Counts | undefined]

function numbersOf(found: readonly Found[], of: keyof Counts): Record<string, number> {
  // A loop is much faster than Object.fromEntries. It is safe, because no asset or user id is `__proto__`.
  const result: Record<string, number> = {}
  for (const [id, counts] of found) result[id] = counts?.[of] ?? 0
  return result
}

function findEvents({ findKeyed }: Pick<ViewCounts, 'findKeyed'>, ids: readonly string[]): LookedUpCounts['events'] {
  const found = ids.flatMap((id) => findKeyed(id) ?? [])
  return Object.fromEntries(
    found.map(({ id, assetId, userId, at }) => [id, { assetId, userId, at: new Date(at).toISOString() }]),
  )
}
