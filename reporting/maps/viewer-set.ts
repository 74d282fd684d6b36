import { addHash, changesSketch, createSketch, type Sketch } from './hyper-log-log.ts'

/** Up to this number, an asset's viewers are counted exactly. */
export const MAX_EXACT = 1_000
/** Up to this number of hashes, comparing all of them takes no longer than a lookup in a hash table. */
const MAX_LISTED = 8

/** A hash table with open addressing. The size of `slots` is a power of two, and free slots are 0. */
type Table = { slots: Float64Array; size: number }

/** An asset's distinct viewers, as hashes: a list for a few, a table for up to 1,000, and a sketch beyond that. */
export type ViewerSet = number[] | Table | Sketch

/**
 * Adds a viewer, and returns the set, which may be a new object.
 * @param hash see hashViewer
 * @param isFrozen true if the set must not be modified in place
 */
export function addViewer(set: ViewerSet | undefined, hash: number, isFrozen: boolean): ViewerSet {
  if (set === undefined) return [hash]
  if (isKnown(set, hash)) return set
  const mutableSet = isFrozen ? clone(set) : set
  if ('registers' in mutableSet) addHash(mutableSet, hash)
  else if (Array.isArray(mutableSet)) return addToList(mutableSet, hash)
  else return addToTable(mutableSet, hash)
  return mutableSet
}

export function countViewers(set: ViewerSet | undefined): number {
  if (set === undefined) return 0
  if (Array.isArray(set)) return set.length
  return 'slots' in set ? set.size : Math.round(set.estimate)
}

/** The hashes in a set that is not a sketch. */
export function hashesOf(set: number[] | Table): Iterable<number> {
  return Array.isArray(set) ? set : set.slots.filter((hash) => hash !== 0)
}

/** Returns a set of up to 1,000 distinct hashes. */
export function toViewerSet(hashes: number[]): ViewerSet {
  if (hashes.length <= MAX_LISTED) return hashes
  return toTable(hashes, 2 ** Math.ceil(Math.log2((4 * hashes.length) / 3)))
}

function isKnown(set: ViewerSet, hash: number): boolean {
  if (Array.isArray(set)) return set.includes(hash)
  return 'slots' in set ? set.slots[slotOf(set.slots, hash)] !== 0 : !changesSketch(set, hash)
}

function clone(set: ViewerSet): ViewerSet {
  if (Array.isArray(set)) return [...set]
  return 'slots' in set
    ? { ...set, slots: Float64Array.from(set.slots) }
    : { ...set, registers: Uint8Array.from(set.registers) }
}

function addToList(list: number[], hash: number): ViewerSet {
  if (list.length < MAX_LISTED) {
    list.push(hash)
    return list
  }
  return addToTable(toTable(list, 4 * MAX_LISTED), hash)
}

function addToTable(table: Table, hash: number): ViewerSet {
  if (table.size === MAX_EXACT) {
    const sketch = createSketch(hashesOf(table))
    addHash(sketch, hash)
    return sketch
  }
  const { slots, size } = table
  const target = 4 * (size + 1) > 3 * slots.length ? toTable(hashesOf(table), 2 * slots.length) : table
  target.slots[slotOf(target.slots, hash)] = hash
  target.size += 1
  return target
}

function toTable(hashes: Iterable<number>, length: number): Table {
  const table = { slots: new Float64Array(length), size: 0 }
  for (const hash of hashes) {
    table.slots[slotOf(table.slots, hash)] = hash
    table.size += 1
  }
  return table
}

/** Returns the slot of the hash, or the free slot in which to store it. */
function slotOf(slots: Float64Array, hash: number): number {
  const mask = slots.length - 1
  let slot = hash & mask
  while (slots[slot] !== 0 && slots[slot] !== hash) slot = (slot + 1) & mask
  return slot
}
