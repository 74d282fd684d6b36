import type { CountBatch } from '../count-store.ts'
import { toEventDigest } from '../digest.ts'

type KnownIds = { generations: ReadonlyMap<string, number>; generation: number; knownIds: number }

/** The most recent ids of views without serials, in the current generation and the previous one. */
export function createIdGenerations({ generations, ...known }: KnownIds, maxIds: number) {
  let { generation, knownIds } = known
  const addedIds = new Map<string, number>()
  return {
    add(source: string, id: string): boolean {
      const key = toIdKey(source, id)
      const found = addedIds.get(key) ?? generations.get(key)
      if (found !== undefined && found >= generation - 1) return false
      if (knownIds === maxIds) {
        generation += 1
        knownIds = 0
      }
      addedIds.set(key, generation)
      knownIds += 1
      return true
    },
    count: () => ({ generation, knownIds }),
    added: () => [...addedIds],
  }
}

/** The keys of the views that are deduplicated by source and id. */
export function unnumberedOf({ views }: CountBatch): string[] {
  const unnumbered = views.filter(({ producer, serial }) => producer !== undefined && serial === undefined)
  return unnumbered.map(({ producer = '', id }) => toIdKey(producer, id))
}

function toIdKey(source: string, id: string): string {
  return Buffer.from(toEventDigest(source, id), 'latin1').toString('base64url')
}
