import { createKeyedHash } from '../../shared/records/keyed-hash.ts'
import { createNumberIndex } from './number-index.ts'

const PAGE_IDS = 1_024
const FIRST_PAGE_BYTES = 1_024
/** An id's length is stored in one byte. */
const MAX_ID_BYTES = 255

export type IdTable = {
  /** The number of ids. Ids are never removed, so the first `size()` ids are a snapshot. */
  size(): number
  /** An id's number; undefined if the table does not contain it. */
  find(id: string): number | undefined
  /** Returns an id's number, and adds the id if the table does not contain it. */
  add(id: string): number
  /** Like `add`, but faster for many ids. */
  addAll(ids: readonly string[]): number[]
  idOf(number: number): string
  /** The size in memory, in bytes. */
  bytes(): number
  /** Writes an id's length as one byte, then the id in ASCII. Returns the offset after the id. */
  write(number: number, target: Buffer, offset: number): number
}

/** Consecutive ids, each preceded by a byte with its length. */
type Page = { bytes: Buffer; length: number; starts: Uint32Array }

/**
 * Numbers ASCII ids from 0 in the order in which they are added. Ids are kept outside V8's heap, because marking
 * millions of strings blocks the event loop for a tenth of a second in each full garbage collection.
 */
export function createIdTable(): IdTable {
  const hash = createKeyedHash()
  const index = createNumberIndex()
  const pages: Page[] = []
  let size = 0
  let idBytes = 0
  /** The id to search for. */
  const wanted = Buffer.alloc(MAX_ID_BYTES)
  let wantedLength = 0

  /** An id's offset in its page; 0 for a negative number. */
  function startOf(number: number): number {
    return number < 0 ? 0 : (pageOf(number).starts[number % PAGE_IDS] ?? 0)
  }

  /** The length of the id that starts at `start`; 0 for a negative number. */
  function lengthAt(number: number, start: number): number {
    return number < 0 ? 0 : (pageOf(number).bytes[start] ?? 0)
  }

  function isWanted(number: number): boolean {
    const { bytes } = pageOf(number)
    const start = startOf(number)
    if (bytes[start] !== wantedLength) return false
    for (let n = 0; n < wantedLength; n += 1) if (bytes[start + 1 + n] !== wanted[n]) return false
    return true
  }

  function pageOf(number: number): Page {
    const page = pages[Math.floor(number / PAGE_IDS)]
    if (page === undefined) throw new RangeError(`no id has the number ${number}`)
    return page
  }

  /** Makes `id` the wanted id, and returns its hash. */
  function want(id: string): number {
    for (let n = 0; n < id.length; n += 1) wanted[n] = id.charCodeAt(n)
    wantedLength = id.length
    return hash(wanted, 0, wantedLength)
  }

  function appendWanted(): number {
    if (size % PAGE_IDS === 0) pages.push(createNextPage(pages.at(-1)))
    const page = pageOf(size)
    reserve(page, 1 + wantedLength)
    page.starts[size % PAGE_IDS] = page.length
    page.bytes[page.length] = wantedLength
    page.length += 1 + wanted.copy(page.bytes, page.length + 1, 0, wantedLength)
    idBytes += 1 + wantedLength
    size += 1
    return size - 1
  }

  /** Returns the wanted id's number, and adds the id if the table does not contain it. */
  function addWanted(hash: number): number {
    const found = index.find(hash, isWanted)
    if (found >= 0) return found
    const number = appendWanted()
    index.add(hash, number)
    return number
  }

  return {
    size: () => size,
    bytes: () => idBytes + pages.length * PAGE_IDS * Uint32Array.BYTES_PER_ELEMENT + index.bytes(),
    find(id) {
      const number = index.find(want(id), isWanted)
      return number < 0 ? undefined : number
    },
    add: (id) => addWanted(want(id)),
    addAll(ids) {
      const hashes = new Uint32Array(ids.length)
      const candidates = new Int32Array(ids.length)
      const starts = new Uint32Array(ids.length)
      const lengths = new Uint8Array(ids.length)
      // Each loop makes independent memory accesses, so the processor can wait for many of them at the same time.
      for (let n = 0; n < ids.length; n += 1) hashes[n] = want(ids[n] ?? '')
      for (let n = 0; n < ids.length; n += 1) candidates[n] = index.find(hashes[n] ?? 0, isAny)
      for (let n = 0; n < ids.length; n += 1) starts[n] = startOf(candidates[n] ?? -1)
      for (let n = 0; n < ids.length; n += 1) lengths[n] = lengthAt(candidates[n] ?? -1, starts[n] ?? 0)
      return ids.map((id, n) => {
        const [candidate, start] = [candidates[n] ?? -1, starts[n] ?? 0]
        const isFound = candidate >= 0 && lengths[n] === id.length && hasAt(pageOf(candidate).bytes, start + 1, id)
        return isFound ? candidate : addWanted(want(id))
      })
    },
    idOf(number) {
      const { bytes } = pageOf(number)
      const start = startOf(number)
      return bytes.toString('latin1', start + 1, start + 1 + bytes.readUInt8(start))
    },
    write(number, target, offset) {
      const { bytes } = pageOf(number)
      const start = startOf(number)
      return offset + bytes.copy(target, offset, start, start + 1 + bytes.readUInt8(start))
    },
  }
}

const isAny = () => true

/** Trims the last page to the size of its ids, and creates a page with the same initial size. */
function createNextPage(last: Page | undefined): Page {
  if (last) resize(last, last.length)
  return {
    bytes: Buffer.allocUnsafeSlow(last?.length ?? FIRST_PAGE_BYTES),
    length: 0,
    starts: new Uint32Array(PAGE_IDS),
  }
}

function reserve(page: Page, more: number): void {
  if (page.length + more > page.bytes.length) resize(page, Math.max(2 * page.bytes.length, page.length + more))
}

function resize(page: Page, size: number): void {
  const bytes = Buffer.allocUnsafeSlow(size)
  page.bytes.copy(bytes, 0, 0, page.length)
  page.bytes = bytes
}

function hasAt(bytes: Buffer, start: number, id: string): boolean {
  for (let n = 0; n < id.length; n += 1) if (bytes[start + n] !== id.charCodeAt(n)) return false
  return true
}
