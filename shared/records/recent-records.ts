import {
  createRecordReader,
  createRecordWriter,
  endOfId,
  type RecordReader,
  type RecordWriter,
} from './record-bytes.ts'
import { createRecordIndex } from './record-index.ts'
import {
  createNextPage,
  type FrozenPage,
  freezePage,
  PAGE_RECORDS,
  type RecordPage,
  restorePage,
  setMark,
} from './record-page.ts'

/** The minimum size of the index if `keeps` decides how many records are kept. */
const MIN_INDEXED = 2 ** 20

/** Encodes and decodes the part of a record after its id. */
export type RecordCodec<Item> = {
  write(writer: RecordWriter, item: Item, names: string[]): void
  /** @param names strings that the records of a page refer to by index, for fields with few distinct values */
  read(reader: RecordReader, id: string, names: readonly string[]): Item
}

/** `items` decodes each record as it is read. `bytes` yields the bytes that the codec wrote for each record. */
export type RecordList<Item> = {
  size: number
  items(): IteratorObject<Item>
  bytes(): IteratorObject<Uint8Array>
}

export type RecentRecords<Item> = {
  /** Returns the number of the record; undefined if no records are kept. */
  add(item: Item): number | undefined
  /** The last record with this id that `isWanted` accepts. */
  find(id: string, isWanted?: (item: Item) => boolean): Item | undefined
  /** Like `find`, but also returns the number of the record. */
  locate(id: string, isWanted?: (item: Item) => boolean): { number: number; item: Item } | undefined
  /** The last record before the record `number` that has the same id, and that `isWanted` accepts. */
  findBefore(number: number, isWanted: (item: Item) => boolean): Item | undefined
  /** A number that is stored with a record, 0 to 2^32 - 1. Unlike the record itself, it may change. */
  mark(number: number): number
  setMark(number: number, mark: number): void
  /** The oldest record that is kept. */
  oldest(): Item | undefined
  /** A snapshot of the records, without copying them. */
  list(): RecordList<Item>
  /** A snapshot of the pages. Records never change, so they are not copied. Marks are copied on write. */
  freeze(): FrozenPage[]
  /** Appends a frozen page. */
  restore(page: FrozenPage): void
}

type Options<Item> = {
  /** The number of records to keep; a minimum if `keeps` is set. */
  max: number
  codec: RecordCodec<Item>
  /** A page of older records is kept as long as this accepts its last record, given the newest record. */
  keeps?: ((item: Item, newest: Item) => boolean) | undefined
}

/** Keeps the latest records in compact form, and finds them by id. Drops a page once all its records are too old. */
export function createRecentRecords<Item extends { id: string }>(options: Options<Item>): RecentRecords<Item> {
  const { max, codec, keeps } = options
  const index = createRecordIndex(keeps ? Math.max(max, MIN_INDEXED) : max)
  const idWriter = createRecordWriter(Buffer.alloc(64))
  const pages: RecordPage[] = []
  let firstPage = 0
  /** The number of the next record. */
  let next = 0

  const oldestNumber = () => Math.max(firstPage * PAGE_RECORDS, keeps ? 0 : next - max)

  function pageOf(number: number): RecordPage | undefined {
    return pages[Math.floor(number / PAGE_RECORDS) - firstPage]
  }

  function openPage(): RecordPage {
    const last = pages.at(-1)
    if (last && last.count < PAGE_RECORDS) return last
    const page = createNextPage(last)
    pages.push(page)
    return page
  }

  /** Adds the last record of a page, which starts at `start`, to the index. */
  function link(page: RecordPage, start: number): void {
    const bytes = page.writer.buffer()
    page.starts[page.count] = start
    page.previous[page.count] = index.replaceLast(bytes, start, endOfId(bytes, start), next)
    page.count += 1
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

  /** Searches backwards from the record with the number `last`, which is in the bucket of the id. */
  function search(last: number, id: Buffer, isWanted: (item: Item) => boolean) {
    let number = last
    while (number >= oldestNumber()) {
      const page = pageOf(number)
      if (page === undefined) return undefined
      const item = hasId(page, number, id) ? read(number) : undefined
      if (item !== undefined && isWanted(item)) return { number, item }
      number = index.earlier(number, page.previous[number % PAGE_RECORDS] ?? 0)
    }
    return undefined
  }

  function locate(id: string, isWanted: (item: Item) => boolean = () => true) {
    idWriter.clear()
    idWriter.id(id)
    const last = index.last(idWriter.buffer(), 0, idWriter.length(), next)
    return search(last, idWriter.buffer().subarray(0, idWriter.length()), isWanted)
  }

  return {
    add(item) {
      if (max === 0 && !keeps) return undefined
      const page = openPage()
      const start = page.writer.length()
      page.writer.id(item.id)
      codec.write(page.writer, item, page.names)
      link(page, start)
      // With `keeps`, dropOld() decodes records, so call it only once per page.
      if (!keeps || page.count === 1) dropOld()
      return next - 1
    },
    find: (id, isWanted) => locate(id, isWanted)?.item,
    locate,
    findBefore(number, isWanted) {
      const page = pageOf(number)
      const before = index.earlier(number, page?.previous[number % PAGE_RECORDS] ?? 0)
      if (page === undefined || before < oldestNumber()) return undefined
      const bytes = page.writer.buffer()
      const start = page.starts[number % PAGE_RECORDS] ?? 0
      return search(before, bytes.subarray(start, endOfId(bytes, start)), isWanted)?.item
    },
    mark: (number) => pageOf(number)?.marks?.[number % PAGE_RECORDS] ?? 0,
    setMark(number, mark) {
      const page = pageOf(number)
      if (page) setMark(page, number % PAGE_RECORDS, mark)
    },
    oldest: () => (oldestNumber() < next ? read(oldestNumber()) : undefined),
    list() {
      const listed = pages.map(({ writer, starts, count, names }) => {
        const bytes = writer.buffer().subarray(0, writer.length())
        return { bytes, starts: starts.subarray(0, count), names }
      })
      const size = listed.reduce((sum, { starts }) => sum + starts.length, 0)
      return { size, items: () => decode(listed, codec), bytes: () => split(listed) }
    },
    freeze: () => pages.map((page, n) => freezePage(page, firstPage + n)),
    restore(frozen) {
      if (max === 0 && !keeps) return
      if (pages.length === 0) {
        firstPage = frozen.page
        next = frozen.page * PAGE_RECORDS
      }
      const page = restorePage(frozen)
      pages.push(page)
      for (const start of frozen.starts) link(page, start)
      dropOld()
    },
  }
}

type ListedPage = Pick<FrozenPage, 'bytes' | 'starts' | 'names'>

function* decode<Item>(pages: readonly ListedPage[], codec: RecordCodec<Item>): Generator<Item> {
  for (const { bytes, starts, names } of pages) {
    for (const start of starts) {
      const reader = createRecordReader(bytes, start)
      yield codec.read(reader, reader.id(), names)
    }
  }
}

function* split(pages: readonly ListedPage[]): Generator<Uint8Array> {
  for (const { bytes, starts } of pages) {
    for (const [index, start] of starts.entries()) yield bytes.subarray(endOfId(bytes, start), starts[index + 1])
  }
}
