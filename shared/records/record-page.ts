import { createRecordWriter, type RecordWriter } from './record-bytes.ts'

/** The number of records in a page. */
export const PAGE_RECORDS = 4_096
const FIRST_PAGE_BYTES = 4_096

/** Consecutive records. New records are appended; existing records never change. */
export type RecordPage = {
  writer: RecordWriter
  starts: Uint32Array
  /** Two numbers for each record: a reference to the previous record in its bucket, and its hash; see RecordIndex. */
  links: Uint32Array
  count: number
  names: string[]
  /** The records' marks, which may change; undefined if all are 0. */
  marks: Uint32Array | undefined
  /** If true, a frozen page shares the marks, so they must be copied before they change. */
  isFrozen: boolean
}

/** A checkpoint page: page 0 holds records 0 to 4,095. Only the last page may have fewer records. */
export type FrozenPage = {
  page: number
  bytes: Buffer
  starts: Uint32Array
  names: readonly string[]
  /** The records' marks; undefined if all are 0. */
  marks?: Uint32Array | undefined
}

/** Returns the last page. If it is full, or there is none, adds a page first. */
export function useLastPage(pages: RecordPage[]): RecordPage {
  const last = pages.at(-1)
  if (last && last.count < PAGE_RECORDS) return last
  const page = createNextPage(last)
  pages.push(page)
  return page
}

/**
 * Completes a page's last record, which starts at `start`.
 * @param previous a reference to the previous record in its bucket; see RecordIndex
 */
export function linkRecord(page: RecordPage, start: number, hash: number, previous: number): void {
  page.starts[page.count] = start
  page.links[2 * page.count] = previous
  page.links[2 * page.count + 1] = hash
  page.count += 1
}

/** Returns the reference from the record with this number to the previous record in its bucket. */
export function previousOf({ links }: RecordPage, number: number): number {
  return links[2 * (number % PAGE_RECORDS)] ?? 0
}

export function hashOf({ links }: RecordPage, number: number): number {
  return links[2 * (number % PAGE_RECORDS) + 1] ?? 0
}

/** Trims a full page to the size of its records, and creates the next page with the same initial size. */
function createNextPage(last: RecordPage | undefined): RecordPage {
  if (last) last.writer = trim(last.writer)
  return createPage(createRecordWriter(Buffer.allocUnsafeSlow(last?.writer.length() ?? FIRST_PAGE_BYTES)))
}

/** Creates a page with the bytes, names and marks of a frozen page. The caller must link its records. */
export function restorePage({ bytes, names, marks }: FrozenPage): RecordPage {
  const page = createPage(createRecordWriter(bytes, bytes.length), names)
  if (marks) {
    page.marks = new Uint32Array(PAGE_RECORDS)
    page.marks.set(marks)
  }
  return page
}

/** Freezes a page without copying its records or marks. */
export function freezePage(page: RecordPage, number: number): FrozenPage {
  const { writer, starts, count, names, marks } = page
  page.isFrozen = true
  return {
    page: number,
    bytes: writer.buffer().subarray(0, writer.length()),
    starts: starts.subarray(0, count),
    names: [...names],
    marks: marks?.subarray(0, count),
  }
}

/** Sets a record's mark without changing a frozen page's marks. */
export function setMark(page: RecordPage, index: number, mark: number): void {
  page.marks = page.isFrozen ? page.marks?.slice() : page.marks
  page.marks ??= new Uint32Array(PAGE_RECORDS)
  page.isFrozen = false
  page.marks[index] = mark
}

export function createPage(writer: RecordWriter, names: readonly string[] = []): RecordPage {
  const [starts, links] = [new Uint32Array(PAGE_RECORDS), new Uint32Array(2 * PAGE_RECORDS)]
  return { writer, starts, links, count: 0, names: [...names], marks: undefined, isFrozen: false }
}

function trim(writer: RecordWriter): RecordWriter {
  const bytes = Buffer.allocUnsafeSlow(writer.length())
  writer.buffer().copy(bytes)
  return createRecordWriter(bytes, bytes.length)
}
