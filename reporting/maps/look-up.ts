import type { CountLookup, Counts, LookedUpCounts } from '../../shared/contracts/view-counts.ts'
import type { CountedBy } from '../count-store.ts'
import type { ViewCounts } from './view-counts.ts'

/** The counts of many ids; see CountStore. */
export function lookUp(counts: Pick<ViewCounts, 'counts' | 'findKeyed'>, ids: CountLookup): LookedUpCounts {
  const { assets, users, events, details } = ids
  const numbersOf = (by: CountedBy, of: keyof Counts) =>
    Object.fromEntries((by === 'asset' ? assets : users).map((id) => [id, counts.counts(by, id)?.[of] ?? 0]))
  const of = (number: keyof Counts) => ({ assets: numbersOf('asset', number), users: numbersOf('user', number) })

  return {
    ...of('views'),
    ...(details && { qualified: of('qualified'), viewers: numbersOf('asset', 'viewers') }),
    ...(events && { events: findEvents(counts, events) }),
  }
}

function findEvents({ findKeyed }: Pick<ViewCounts, 'findKeyed'>, ids: readonly string[]): LookedUpCounts['events'] {
  const found = ids.flatMap((id) => findKeyed(id) ?? [])
  return Object.fromEntries(
    found.map(({ id, assetId, userId, at }) => [id, { assetId, userId, at: new Date(at).toISOString() }]),
  )
}
