import { createRecordWriter, endOfAscii, endOfId } from '../../shared/records/record-bytes.ts'
import { createRecordIndex } from '../../shared/records/record-index.ts'
import {
  createPage,
  hashOf,
  linkRecord,
  PAGE_RECORDS,
  previousOf,
  type RecordPage,
  useLastPage,
} from '../../shared/records/record-page.ts'
import {
  clockOf,
  decodeJudged,
  endOfJudged,
  type Judged,
  type KnownEvents,
  toKnownEvents,
  writeJudged,
} from './judged-events.ts'
import type { RuleEvent, ViewRule } from './view-rule.ts'

const BUCKETS = 2 ** 20

/** The events that a rule remembers. Their clocks never go backwards. */
type EventWindow = {
  /** Adds an event, and returns the last earlier events with the same key, in log order. */
  add(event: RuleEvent, clock: number): readonly RuleEvent[]
  restore(judged: Judged): void
  /**
   * Restores PAGE_RECORDS events that `KnownEvents` encoded; fewer only in the last call. Takes ownership of the buffer.
   */
  restoreEncoded(events: Buffer): void
  events(): KnownEvents
}

/** Keeps events in a compact encoding: as objects, a minute's events would take most of the heap. */
export function createEventWindow({ key, windowMs, keeps }: Pick<ViewRule, 'key' | 'windowMs' | 'keeps'>): EventWindow {
  const [hasAsset, hasUser] = [key.includes('assetId'), key.includes('userId')]
  const index = createRecordIndex(BUCKETS)
  const pages: RecordPage[] = []
  let firstPage = 0
  /** The next record's number. */
  let next = 0
  let latest = Number.NEGATIVE_INFINITY

  const isExpired = (clock: number) => latest - clock > windowMs

  function startOfKey(bytes: Buffer, start: number): number {
    const asset = endOfId(bytes, start)
    return hasAsset ? asset : endOfAscii(bytes, asset)
  }

  function endOfKey(bytes: Buffer, start: number): number {
    const user = endOfAscii(bytes, endOfId(bytes, start))
    return hasUser ? endOfAscii(bytes, user) : user
  }

  function hashAt(bytes: Buffer, start: number): number {
    return index.hash(bytes, startOfKey(bytes, start), endOfKey(bytes, start))
  }

  /** Adds the last record of a page to the index. The record starts at `start`. */
  function link(page: RecordPage, start: number, hash: number): void {
    linkRecord(page, start, hash, index.replaceLast(hash, next))
    next += 1
  }

  function append(judged: Judged): void {
    const page = useLastPage(pages)
    const start = page.writer.length()
    writeJudged(page.writer, judged)
    link(page, start, hashAt(page.writer.buffer(), start))
    latest = judged.clock
    if (page.count === 1) dropExpired()
  }

  /** Adds a page with these bytes. All earlier pages must be full. */
  function appendPage(bytes: Buffer): void {
    if ((pages.at(-1)?.count ?? PAGE_RECORDS) < PAGE_RECORDS) throw new RangeError('the last page is not full')
    const page = createPage(createRecordWriter(bytes, bytes.length))
    pages.push(page)
    const starts: number[] = []
    for (let start = 0; start < bytes.length; start = endOfJudged(bytes, start)) starts.push(start)
    if (starts.length > PAGE_RECORDS) throw new RangeError('more events than a page holds')
    // A separate loop links the records, so that the processor can load many buckets at the same time.
    const hashes = starts.map((start) => hashAt(bytes, start))
    for (const [n, start] of starts.entries()) link(page, start, hashes[n] ?? 0)
    latest = clockOf(bytes, bytes.length)
  }

  function dropExpired(): void {
    for (let page = pages[0]; page && page !== pages.at(-1); page = pages[0]) {
      if (!isExpired(clockOf(page.writer.buffer(), page.writer.length()))) return
      pages.shift()
      firstPage += 1
    }
  }

  function pageOf(number: number): RecordPage | undefined {
    return pages[Math.floor(number / PAGE_RECORDS) - firstPage]
  }

  /** Returns the last events before `newest`, the newest event, that have the same key, in log order. */
  function findEarlier(newest: RuleEvent): RuleEvent[] {
    const earlier: RuleEvent[] = []
    const newestPage = pageOf(next - 1)
    if (!newestPage) return earlier
    const hash = hashOf(newestPage, next - 1)
    let number = index.earlier(next - 1, previousOf(newestPage, next - 1))
    for (let page = pageOf(number); page && earlier.length < keeps; page = pageOf(number)) {
      if (hashOf(page, number) === hash) {
        const { event, clock } = decodeJudged(page.writer.buffer(), page.starts[number % PAGE_RECORDS] ?? 0)
        // All events before an expired one have expired too.
        if (isExpired(clock)) break
        if (key.every((field) => event[field] === newest[field])) earlier.push(event)
      }
      number = index.earlier(number, previousOf(page, number))
    }
    return earlier.reverse()
  }

  return {
    add(event, clock) {
      append({ event, clock })
      return findEarlier(event)
    },
    restore: append,
    restoreEncoded: appendPage,
    events() {
      dropExpired()
      return toKnownEvents(pages, isExpired)
    },
  }
}
