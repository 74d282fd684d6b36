import { isSamePosition, type LogPosition } from '../shared/contracts/position.ts'
import type { CountBatch } from './count-store.ts'

type Start = Pick<CountBatch, 'incarnation' | 'after' | 'leaving'>

/**
 * Returns true if a batch starts at the position. The first batch of a new incarnation must name the position that it
 * replaces, so that a late batch from an old incarnation is rejected.
 */
export function startsAt(position: LogPosition | undefined, { incarnation, after, leaving }: Start): boolean {
  if (incarnation === position?.incarnation) return after === position.sequence
  return after === 0 && isSamePosition(leaving, position)
}
