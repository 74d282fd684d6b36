import {
  createRecordReader,
  createRecordWriter,
  endOfId,
  type RecordReader,
  type RecordWriter,
} from './record-bytes.ts'
import { createRecordIndex } from './record-index.ts'
import {
  type FrozenPage,
  freezePage,
  hashOf,
  linkRecord,
  PAGE_RECORDS,
  previousOf,
  type RecordPage,
  restorePage,
  setMark,
  useLastPage,
} from './record-page.ts'

/** The minimum index size if `keeps` decides how many records are kept. */
const MIN_INDEXED = 2 ** 20

/** Encodes and decodes the part of a record after its id. */
export type RecordCodec<Item> = {
  write(writer: RecordWriter, item: Item, names: string[]): void
  /** @param names strings that a page's records refer to by index, for fields with few distinct values */
  read(reader: RecordReader, id: string, names: readonly string[]): Item
}

export type RecentRecords<Item> = {
  /** Returns the record's number; undefined if no records are kept. */
  add(item: Item): number | undefined
  /** The last record with this id. */
  find(id: string): Item | undefined
  /** The last record with this id that `isWanted` accepts, and its number. */
  locate(id: string, isWanted?: (item: Item) => boolean): { number: number; item: Item } | undefined
  /** A number from 0 to 2^32 - 1 that is stored with a record. Unlike the record itself, the mark may change. */
  mark(number: number): number
  setMark(number: number, mark: number): void
  /** The oldest record that is kept. */
  oldest(): Item | undefined
  /** Returns a snapshot of the pages. Records never change, so they are not copied. Marks are copied on write. */
  freeze(): FrozenPage[]
  /** Appends a frozen page. */
  restore(page: FrozenPage): void
}

type Options<Item> = {
  /** The number of records to keep; a minimum if `keeps` is set. */
  max: number
  codec: RecordCodec<Item>
  /** Decides whether to keep a page of old records. Called with the page's last record, and the newest record. */
  keeps?: ((item: Item, newest: Item) => boolean) | undefined
}

/** Keeps the latest records in compact form, and finds them by id. Drops a page once all its records are too old. */
export function createRecentRecords<Item extends { id: string }>(options: Options<Item>): RecentRecords<Item> {
  const { max, codec, keeps } = options
  const index = createRecordIndex(keeps ? Math.max(max, MIN_INDEXED) : max)
  const idWriter = createRecordWriter(Buffer.alloc(64))
  const pages: RecordPage[] = []
  let firstPage = 0
  /** The next record's number. */
  let next = 0

  const oldestNumber = () => Math.max(firstPage * PAGE_RECORDS, keeps ? 0 : next - max)

  function pageOf(number: number): RecordPage | undefined {
    return pages[Math.floor(number / PAGE_RECORDS) - firstPage]
  }

  function hashAt(bytes: Buffer, start: number): number {
    return index.hash(bytes, start, endOfId(bytes, start))
  }

  /** Adds a page's last record to the index. The record starts at `start`. */
  function link(page: RecordPage, start: number, hash: number): void {
    linkRecord(page, start, hash, index.replaceLast(hash, next))
    next += 1
  }

  function dropOld(): void {
    while ((firstPage + 1) * PAGE_RECORDS <= next - max && !isKept(firstPage)) {
      pages.shift()
      firstPage += 1
    }
  }

  function isKept(page: number): boolean {
    if (!keeps) return false
    const [last, newest] = [read((page + 1) * PAGE_RECORDS - 1), read(next - 1)]
    return last !== undefined && newest !== undefined && keeps(last, newest)
  }

  function read(number: number): Item | undefined {
    const page = pageOf(number)
    const start = page?.starts[number % PAGE_RECORDS]
    if (page === undefined || start === undefined) return undefined
    const reader = createRecordReader(page.writer.buffer(), start)
    return codec.read(reader, reader.id(), page.names)
  }

  function hasId(page: RecordPage, number: number, id: Buffer): boolean {
    const bytes = page.writer.buffer()
    const start = page.starts[number % PAGE_RECORDS] ?? 0
    for (let n = 0; n < id.length; n += 1) if (bytes[start + n] !== id[n]) return false
    return true
  }

  /** Searches an id's bucket backwards. */
  function search(id: Buffer, hash: number, isWanted: (item: Item) => boolean) {
    let number = index.last(hash, next)
    while (number >= oldestNumber()) {
      const page = pageOf(number)
      if (page === undefined) return undefined
      const item = hashOf(page, number) === hash && hasId(page, number, id) ? read(number) : undefined
      if (item !== undefined && isWanted(item)) return { number, item }
      number = index.earlier(number, previousOf(page, number))
    }
    return undefined
  }

  function locate(id: string, isWanted: (item: Item) => boolean = () => true) {
    idWriter.clear()
    idWriter.id(id)
    const wanted = idWriter.buffer().subarray(0, idWriter.length())
    return search(wanted, hashAt(wanted, 0), isWanted)
  }

  return {
    add(item) {
      if (max === 0 && !keeps) return undefined
      const page = useLastPage(pages)
      const start = page.writer.length()
      page.writer.id(item.id)
      codec.write(page.writer, item, page.names)
      link(page, start, hashAt(page.writer.buffer(), start))
      // With `keeps`, dropOld() decodes records, so call it only once per page.
      if (!keeps || page.count === 1) dropOld()
      return next - 1
    },
    find: (id) => locate(id)?.item,
    locate,
    mark: (number) => pageOf(number)?.marks?.[number % PAGE_RECORDS] ?? 0,
    setMark(number, mark) {
      const page = pageOf(number)
      if (page) setMark(page, number % PAGE_RECORDS, mark)
    },
    oldest: () => (oldestNumber() < next ? read(oldestNumber()) : undefined),
    freeze: () => pages.map((page, n) => freezePage(page, firstPage + n)),
    restore(frozen) {
      if (max === 0 && !keeps) return
      if (pages.length === 0) {
        firstPage = frozen.page
        next = frozen.page * PAGE_RECORDS
      }
      const page = restorePage(frozen)
      pages.push(page)
      const { bytes, starts } = frozen
      // Link the records in a separate loop, so that the processor can load many buckets in parallel.
      const hashes = starts.map((start) => hashAt(bytes, start))
      for (const [n, start] of starts.entries()) link(page, start, hashes[n] ?? 0)
      dropOld()
    },
  }
}
