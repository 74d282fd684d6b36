import type { View } from '../shared/contracts/view.ts'
import type { CountBatch } from './count-store.ts'

export const AT = '2026-11-20T21:00:00Z'

export function view(assetId: string): View {
  return { id: 'x', assetId, userId: 'u', at: AT }
}

/** A batch with one view for each given asset. */
export function batch(incarnation: string, after: number, through: number, assetIds: string[]): CountBatch {
  return { incarnation, after, through, views: assetIds.map(view) }
}
