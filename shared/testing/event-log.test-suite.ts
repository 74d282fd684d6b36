import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Position } from '../contracts/position.ts'
import { MAX_VIEWS_PER_BATCH } from '../contracts/view.ts'
import type { EventLog, LogBatch, NewView, Producer } from '../event-log/event-log.ts'

const never = new AbortController().signal

/** A log with a producer of its own. */
export type Handle = EventLog & Pick<Producer, 'append'>

export function handleOn(log: EventLog, producer?: string): Handle {
  return { ...log, append: log.producer(producer).append }
}

/** What every event log does. `open` gives a new handle on one log, as another process would have; `wipe` empties it. */
export function eventLogSuite(context: () => { open: () => Handle | Promise<Handle>; wipe: () => Promise<void> }) {
  test('what was appended is read in order, with the positions in between', async () => {
    await using log = await context().open()
    const views = someViews(3)
    for (const view of views) await log.append([view], never)
    const batches = await readViews(log, undefined, 3)
    expect(idsOf(batches)).toEqual(idsOfViews(views))
    expectSeamless(batches)
    expect(batches.at(-1)?.through).toBe((await log.end()).sequence)
  })

  test('views come back as they were given', async () => {
    await using log = await context().open()
    const [view] = someViews(1) as [NewView]
    await log.append([view], never)
    const [batch] = await readViews(log, undefined, 1)
    const { requestId, ...counted } = view
    expect(batch?.views).toEqual([counted])
  })

  test('reading goes on from a position', async () => {
    await using log = await context().open()
    const [first, second] = someViews(2) as [NewView, NewView]
    await log.append([first], never)
    const after = await log.end()
    await log.append([second], never)
    const batches = await readViews(log, after, 1)
    expect(idsOf(batches)).toEqual([second.id])
    expect(batches[0]).toMatchObject({ stream: after.stream, after: after.sequence })
  })

  test('what a reader has still to read is known by how much, and since when', async () => {
    await using log = await context().open()
    const [first, second, third] = someViews(3) as [NewView, NewView, NewView]
    expect(await log.backlog(undefined)).toEqual({ messages: 0, since: undefined })
    const before = Date.now()
    await log.append([first], never)
    const after = await log.end()
    await log.append([second], never)
    await log.append([third], never)
    const backlog = await log.backlog(after)
    expect(backlog.messages).toBe(2)
    // The log's clock and this one may differ by the parts of a millisecond that a date leaves out.
    expect(backlog.since?.getTime()).toBeGreaterThan(before - 2)
    expect(backlog.since?.getTime()).toBeLessThan(Date.now() + 2)
    expect(await log.backlog(await log.end())).toEqual({ messages: 0, since: undefined })
    expect(await log.backlog(undefined)).toMatchObject({ messages: 3 })
    expect(await log.backlog({ stream: 'another', sequence: 3 })).toMatchObject({ messages: 3 })
  })

  test('reading goes on as the log grows', async () => {
    await using log = await context().open()
    const views = someViews(2)
    const reading = readViews(log, undefined, 2)
    for (const view of views) await log.append([view], never)
    expect(idsOf(await reading)).toEqual(idsOfViews(views))
  })

  test('views that are waiting come in one batch', async () => {
    await using log = await context().open()
    for (const view of someViews(20)) await log.append([view], never)
    const batches = await readViews(log, undefined, 20)
    expect(batches).toHaveLength(1)
  })

  test('a batch has no more views than one request may carry', async () => {
    await using log = await context().open()
    const views = someViews(MAX_VIEWS_PER_BATCH + 2_500)
    for (let start = 0; start < views.length; start += 500) await log.append(views.slice(start, start + 500), never)
    const batches = await readViews(log, undefined, views.length)
    expect(idsOf(batches)).toEqual(idsOfViews(views))
    expectSeamless(batches)
    for (const batch of batches) expect(batch.views.length).toBeLessThanOrEqual(MAX_VIEWS_PER_BATCH)
  })

  test('an append of any length is stored in order', async () => {
    await using log = await context().open()
    const views = someViews(2_345)
    await log.append(views, never)
    expect(idsOf(await readViews(log, undefined, views.length))).toEqual(idsOfViews(views))
  })

  test('two readers read the same', async () => {
    await using log = await context().open()
    const views = someViews(5)
    const reading = [readViews(log, undefined, 5), readViews(log, undefined, 5)]
    for (const view of views) await log.append([view], never)
    for (const batches of await Promise.all(reading)) expect(idsOf(batches)).toEqual(idsOfViews(views))
  })

  test('another handle goes on where the first one stopped', async () => {
    const views = someViews(2) as [NewView, NewView]
    let position: Position
    {
      await using first = await context().open()
      await first.append([views[0]], never)
      position = await first.end()
    }
    await using second = await context().open()
    await second.append([views[1]], never)
    expect(idsOf(await readViews(second, undefined, 2))).toEqual(idsOfViews(views))
    expect(await second.end()).toEqual({ stream: position.stream, sequence: position.sequence + 1 })
  })

  test('a position beyond the end is refused', async () => {
    await using log = await context().open()
    await log.append(someViews(1), never)
    const { stream, sequence } = await log.end()
    await expect(readViews(log, { stream, sequence: sequence + 1 }, 1)).rejects.toMatchObject({
      name: 'LogRolledBackError',
    })
  })

  test('a log that was wiped is another one, and read from its start', async () => {
    const { open, wipe } = context()
    let before: Position
    {
      await using log = await open()
      await log.append(someViews(3), never)
      before = await log.end()
    }
    await wipe()
    await using log = await open()
    const [view] = someViews(1) as [NewView]
    await log.append([view], never)
    const batches = await readViews(log, before, 1)
    expect(idsOf(batches)).toEqual([view.id])
    expect(batches[0]).toMatchObject({ after: 0 })
    expect(batches[0]?.stream).not.toBe(before.stream)
  })

  test('reading ends when it is told to', async () => {
    await using log = await context().open()
    const stop = new AbortController()
    const read: LogBatch[] = []
    await log.append(someViews(1), never)
    for await (const batch of log.read(undefined, stop.signal)) {
      read.push(batch)
      stop.abort()
    }
    expect(read).toHaveLength(1)
  })
}

export function someViews(count: number): NewView[] {
  return Array.from({ length: count }, (_, index) => ({
    id: randomUUID(),
    assetId: `asset-${index % 7}`,
    userId: `user-${index % 11}`,
    at: '2026-11-20T21:00:00.000Z',
    requestId: 'request-1',
  }))
}

/** Reads until `count` views were read. */
export async function readViews(log: EventLog, after: Position | undefined, count: number): Promise<LogBatch[]> {
  const batches: LogBatch[] = []
  let read = 0
  for await (const batch of log.read(after, never)) {
    batches.push(batch)
    read += batch.views.length
    if (read >= count) break
  }
  return batches
}

export function idsOf(batches: LogBatch[]): string[] {
  return batches.flatMap(({ views }) => idsOfViews(views))
}

export function idsOfViews(views: readonly { id: string }[]): string[] {
  return views.map(({ id }) => id)
}

/** Each batch starts where the one before it ended. */
function expectSeamless(batches: LogBatch[]): void {
  for (const [index, batch] of batches.entries()) expect(batch.after).toBe(batches[index - 1]?.through ?? 0)
}
