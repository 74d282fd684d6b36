import {
  createRecordReader,
  createRecordWriter,
  endOfId,
  type RecordReader,
  type RecordWriter,
} from './record-bytes.ts'
import { createRecordIndex } from './record-index.ts'

/** The number of records in a page. */
export const PAGE_RECORDS = 4_096
const FIRST_PAGE_BYTES = 4_096

/** How a record is encoded, behind its id. */
export type RecordCodec<Item> = {
  write(writer: RecordWriter, item: Item, names: string[]): void
  /** @param names texts that few records of a page differ in */
  read(reader: RecordReader, id: string, names: readonly string[]): Item
}

/** Consecutive records: those of page 0 have the numbers 0 to 4,095. Only the last page may have fewer. */
export type FrozenPage = { page: number; bytes: Buffer; starts: Uint32Array; names: readonly string[] }

export type RecentRecords<Item> = {
  add(item: Item): void
  /** The last record with this id that `isWanted` accepts. */
  find(id: string, isWanted?: (item: Item) => boolean): Item | undefined
  /** The oldest record that is kept. */
  oldest(): Item | undefined
  /** The pages at this time, without copying them: records are appended, and never change. */
  freeze(): FrozenPage[]
  /** Adds a page behind the earlier ones. */
  restore(page: FrozenPage): void
}

type Page = { writer: RecordWriter; starts: Uint32Array; previous: Uint32Array; count: number; names: string[] }

type Options<Item> = {
  /** Exactly this number of records is kept. */
  max: number
  codec: RecordCodec<Item>
}

/** The last records, compact, by id. A page is dropped as soon as all of its records are too old. */
export function createRecentRecords<Item extends { id: string }>({ max, codec }: Options<Item>): RecentRecords<Item> {
  const index = createRecordIndex(max)
  const wanted = createRecordWriter(Buffer.alloc(64))
  const pages: Page[] = []
  let firstPage = 0
  /** The number of the next record. */
  let next = 0

  const oldestNumber = () => Math.max(firstPage * PAGE_RECORDS, next - max)

  function pageOf(number: number): Page | undefined {
    return pages[Math.floor(number / PAGE_RECORDS) - firstPage]
  }

  function openPage(): Page {
    const last = pages.at(-1)
    if (last && last.count < PAGE_RECORDS) return last
    if (last) last.writer = trim(last.writer)
    const page = createPage(createRecordWriter(Buffer.allocUnsafeSlow(last?.writer.length() ?? FIRST_PAGE_BYTES)))
    pages.push(page)
    return page
  }

  /** Makes the record that starts at the end of a page findable. */
  function link(page: Page, start: number): void {
    const bytes = page.writer.buffer()
    page.starts[page.count] = start
    page.previous[page.count] = index.replaceLast(bytes, start, endOfId(bytes, start), next)
    page.count += 1
    next += 1
  }

  function dropOld(): void {
    while ((firstPage + 1) * PAGE_RECORDS <= next - max) {
      pages.shift()
      firstPage += 1
    }
  }

  function read(number: number): Item | undefined {
    const page = pageOf(number)
    const start = page?.starts[number % PAGE_RECORDS]
    if (page === undefined || start === undefined) return undefined
    const reader = createRecordReader(page.writer.buffer(), start)
    return codec.read(reader, reader.id(), page.names)
  }

  function hasWantedId(page: Page, number: number): boolean {
    const bytes = page.writer.buffer()
    const start = page.starts[number % PAGE_RECORDS] ?? 0
    const id = wanted.buffer()
    for (let n = 0; n < wanted.length(); n += 1) if (bytes[start + n] !== id[n]) return false
    return true
  }

  return {
    add(item) {
      if (max === 0) return
      const page = openPage()
      const start = page.writer.length()
      page.writer.id(item.id)
      codec.write(page.writer, item, page.names)
      link(page, start)
      dropOld()
    },
    find(id, isWanted = () => true) {
      wanted.clear()
      wanted.id(id)
      let number = index.last(wanted.buffer(), 0, wanted.length(), next)
      while (number >= oldestNumber()) {
        const page = pageOf(number)
        if (page === undefined) return undefined
        const item = hasWantedId(page, number) ? read(number) : undefined
        if (item !== undefined && isWanted(item)) return item
        number = index.earlier(number, page.previous[number % PAGE_RECORDS] ?? 0)
      }
      return undefined
    },
    oldest: () => (oldestNumber() < next ? read(oldestNumber()) : undefined),
    freeze: () =>
      pages.map(({ writer, starts, count, names }, n) => ({
        page: firstPage + n,
        bytes: writer.buffer().subarray(0, writer.length()),
        starts: starts.subarray(0, count),
        names: [...names],
      })),
    restore({ page: pageNumber, bytes, starts, names }) {
      if (max === 0) return
      if (pages.length === 0) {
        firstPage = pageNumber
        next = pageNumber * PAGE_RECORDS
      }
      const page = createPage(createRecordWriter(bytes, bytes.length), names)
      pages.push(page)
      for (const start of starts) link(page, start)
      dropOld()
    },
  }
}

function createPage(writer: RecordWriter, names: readonly string[] = []): Page {
  const [starts, previous] = [new Uint32Array(PAGE_RECORDS), new Uint32Array(PAGE_RECORDS)]
  return { writer, starts, previous, count: 0, names: [...names] }
}

function trim(writer: RecordWriter): RecordWriter {
  const bytes = Buffer.allocUnsafeSlow(writer.length())
  writer.buffer().copy(bytes)
  return createRecordWriter(bytes, bytes.length)
}
