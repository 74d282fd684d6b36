import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { LogPosition } from '../contracts/position.ts'
import { MAX_VIEWS_PER_BATCH } from '../contracts/view.ts'
import type { EventLog, LogBatch, NewView, Producer } from '../event-log/event-log.ts'

const never = new AbortController().signal

/** A log together with a producer. */
export type Handle = EventLog & Pick<Producer, 'append'>

export function openHandle(log: EventLog, producerId?: string): Handle {
  return { ...log, append: log.producer('/test', producerId).append }
}

type Context = {
  /** Opens another handle on the same log, as another process would. */
  open: (producerId?: string) => Handle | Promise<Handle>
  /** Deletes the log. */
  wipe: () => Promise<void>
  /** Removes the messages up to a sequence, as if they had expired. Called while no handle is open. */
  expire: (through: number) => Promise<void>
}

/** The conformance suite for event logs. */
export function describeEventLog(context: () => Context) {
  test('views are read in the order in which they were appended, with contiguous positions', async () => {
    await using log = await context().open()
    const views = createViews(3)
    for (const view of views) await log.append([view], never)
    const batches = await readViews(log, undefined, 3)
    expect(idsOf(batches)).toEqual(idsOfViews(views))
    expectContiguous(batches)
    expect(batches.at(-1)?.through).toBe((await log.end()).sequence)
  })

  test('a view is read as it was appended', async () => {
    await using log = await context().open()
    const view = createView()
    await log.append([view], never)
    const [batch] = await readViews(log, undefined, 1)
    const { requestId, ...counted } = view
    expect(batch?.views).toEqual([{ ...counted, producer: expect.stringMatching(/^\/test\/./) }])
  })

  test('a view with a serial is read with its producer and predecessor', async () => {
    await using log = await context().open()
    const producer = log.producer('/test')
    const view = { ...createView(), serial: 1, predecessor: { producer: 'earlier', serial: 7 } }
    await producer.append([view], never)
    const [batch] = await readViews(log, undefined, 1)
    const { requestId, ...counted } = view
    expect(batch?.views).toEqual([{ ...counted, producer: producer.id }])
  })

  test('watch-time reports are read with their position among the views in the same message', async () => {
    await using log = await context().open()
    const { id: producer, append } = log.producer('/test')
    const views = createViews(2).map((view, n) => ({ ...view, serial: 2 * n + 2, duration: 20 }))
    const [early, late] = ['other', views[0]?.id ?? ''].map((viewId, n) => ({
      ...createView(n),
      watched: { viewId, seconds: n },
    }))
    const [first, second] = views
    if (!early || !late || !first || !second) throw new Error('two views and two reports were expected')
    await append([{ ...early, serial: 1 }, first, { ...late, serial: 3 }, second], never)
    const [batch] = await readViews(log, undefined, 2)
    expect(batch?.views.map(({ serial, duration }) => [serial, duration])).toEqual([2, 4].map((serial) => [serial, 20]))
    const sequence = batch?.through
    const { assetId, userId } = early
    expect(batch?.watched).toEqual([
      { viewId: 'other', assetId, userId, seconds: 0, sequence, index: 0, producer, serial: 1 },
      {
        viewId: first.id,
        assetId: late.assetId,
        userId: late.userId,
        seconds: 1,
        sequence,
        index: 1,
        producer,
        serial: 3,
      },
    ])
    expect(batch?.messages).toMatchObject([{ sequence, views: 2 }])
  })

  test('a message that contains only reports is read in a batch without views', async () => {
    await using log = await context().open()
    await log.append([{ ...createView(), watched: { viewId: 'x', seconds: 31 } }], never)
    for await (const batch of log.read(undefined, never)) {
      expect(batch).toMatchObject({
        views: [],
        watched: [{ viewId: 'x', seconds: 31 }],
        messages: [{ views: 0 }],
        rejected: [],
      })
      break
    }
  })

  test('the first batch of a new incarnation contains the position in the previous incarnation', async () => {
    await using log = await context().open()
    await log.append(createViews(1), never)
    const left = { incarnation: 'another', sequence: 9 }
    const [batch] = await readViews(log, left, 1)
    expect(batch).toMatchObject({ after: 0, first: 1, leaving: left })
    const [next] = await readViews(log, undefined, 1)
    expect(next?.leaving).toBeUndefined()
  })

  test('all views are read, but only sampled trace contexts', async () => {
    await using log = await context().open()
    const traceparent = (flags: string) => `00-${'a'.repeat(32)}-${'b'.repeat(16)}-${flags}`
    const recorded = { ...createView(), traceparent: traceparent('01'), tracestate: 'vendor=1' }
    const views = [{ ...createView(), traceparent: traceparent('00') }, recorded, createView()]
    await log.append(views, never)
    const batches = await readViews(log, undefined, 3)
    expect(idsOf(batches)).toEqual(idsOfViews(views))
    expect(batches.flatMap(({ traces }) => traces)).toEqual([
      { traceparent: recorded.traceparent, tracestate: recorded.tracestate },
    ])
  })

  test('reading resumes after a position', async () => {
    await using log = await context().open()
    const [first, second] = [createView(), createView()]
    await log.append([first], never)
    const after = await log.end()
    await log.append([second], never)
    const batches = await readViews(log, after, 1)
    expect(idsOf(batches)).toEqual([second.id])
    expect(batches[0]).toMatchObject({ incarnation: after.incarnation, after: after.sequence })
  })

  test('the backlog after a position contains the number of messages and the time of the first message', async () => {
    await using log = await context().open()
    expect(await log.backlog(undefined)).toEqual({ messages: 0, since: undefined })
    const before = Date.now()
    await log.append([createView()], never)
    const after = await log.end()
    await log.append([createView()], never)
    await log.append([createView()], never)
    const backlog = await log.backlog(after)
    expect(backlog.messages).toBe(2)
    // The timestamp may be off by the fraction of a millisecond that Date truncates.
    expect(backlog.since?.getTime()).toBeGreaterThan(before - 2)
    expect(backlog.since?.getTime()).toBeLessThan(Date.now() + 2)
    expect(await log.backlog(await log.end())).toEqual({ messages: 0, since: undefined })
    expect(await log.backlog(undefined)).toMatchObject({ messages: 3 })
    expect(await log.backlog({ incarnation: 'another', sequence: 3 })).toMatchObject({ messages: 3 })
  })

  test('an event is found by its id in the messages after a position', async () => {
    await using log = await context().open()
    const options = { maxMessages: 10, signal: never }
    const nothing = { found: undefined, isComplete: true }
    expect(await log.find('unknown', undefined, options)).toEqual(nothing)
    const [first, second] = [createView(), { ...createView(), id: 'say "é" \\' }]
    await log.append([createView(), first], never)
    const after = await log.end()
    await log.append([second], never)
    const { requestId, ...counted } = first
    const found = { position: after, view: { ...counted, producer: expect.stringMatching(/^\/test\/./) } }
    expect(await log.find(first.id, undefined, options)).toEqual({ found, isComplete: true })
    expect(await log.find(first.id, { incarnation: 'another', sequence: 9 }, options)).toMatchObject({ found })
    expect(await log.find(first.id, after, options)).toEqual(nothing)
    const last = await log.end()
    expect(await log.find(second.id, after, options)).toMatchObject({
      found: { position: last, view: { id: second.id } },
    })
    expect(await log.find(second.id, last, options)).toEqual(nothing)
  })

  test('a search is limited to the newest messages', async () => {
    await using log = await context().open()
    const views = createViews(3)
    for (const view of views) await log.append([view], never)
    const [oldest, , newest] = idsOfViews(views)
    const find = (id = '', maxMessages = 2) => log.find(id, undefined, { maxMessages, signal: never })
    expect(await find(oldest)).toEqual({ found: undefined, isComplete: false })
    expect(await find(oldest, 3)).toMatchObject({ found: { view: { id: oldest } }, isComplete: true })
    expect(await find(newest)).toMatchObject({ found: { view: { id: newest } } })
  })

  test('a resumed producer stores a view even if an earlier view has the same id', async () => {
    const [repeated, other] = [createView(), createView()]
    {
      await using log = await context().open('resumed')
      await log.append([{ ...repeated, serial: 1 }], never)
    }
    await using log = await context().open('resumed')
    await log.append(
      [
        { ...other, serial: 2 },
        { ...repeated, serial: 3 },
      ],
      never,
    )
    const batches = await readViews(log, undefined, 3)
    expect(idsOf(batches)).toEqual([repeated.id, other.id, repeated.id])
  })

  test('reading follows the log as it grows', async () => {
    await using log = await context().open()
    const views = createViews(2)
    const reading = readViews(log, undefined, 2)
    for (const view of views) await log.append([view], never)
    expect(idsOf(await reading)).toEqual(idsOfViews(views))
  })

  test('the views in a backlog are read in one batch', async () => {
    await using log = await context().open()
    for (const view of createViews(20)) await log.append([view], never)
    const batches = await readViews(log, undefined, 20)
    expect(batches).toHaveLength(1)
    expect(batches[0]?.pending).toBe(0)
  })

  test('a batch fits in one request, and contains the number of pending messages', async () => {
    await using log = await context().open()
    const views = createViews(MAX_VIEWS_PER_BATCH + 2_500)
    for (let start = 0; start < views.length; start += 500) await log.append(views.slice(start, start + 500), never)
    const batches = await readViews(log, undefined, views.length)
    expect(idsOf(batches)).toEqual(idsOfViews(views))
    expectContiguous(batches)
    for (const batch of batches) expect(batch.views.length).toBeLessThanOrEqual(MAX_VIEWS_PER_BATCH)
    const { sequence } = await log.end()
    for (const { through, pending } of batches) expect(pending).toBe(sequence - through)
  })

  test('a batch of large messages is split before it exceeds the body limit', async () => {
    await using log = await context().open()
    const long = { assetId: 'a'.repeat(128), userId: 'u'.repeat(128), requestId: 'r'.repeat(128) }
    const views = createViews(8_000).map((view) => ({ ...view, ...long }))
    for (let start = 0; start < views.length; start += 500) await log.append(views.slice(start, start + 500), never)
    const batches = await readViews(log, undefined, views.length)
    expect(idsOf(batches)).toEqual(idsOfViews(views))
    expectContiguous(batches)
    expect(batches.length).toBeGreaterThan(1)
    for (const batch of batches) expect(JSON.stringify(batch.views).length).toBeLessThan(4 * 1024 * 1024)
  })

  test('the views in a large append are stored in order', async () => {
    await using log = await context().open()
    const views = createViews(2_345)
    await log.append(views, never)
    expect(idsOf(await readViews(log, undefined, views.length))).toEqual(idsOfViews(views))
  })

  test('two readers read the same views', async () => {
    await using log = await context().open()
    const views = createViews(5)
    const reading = [readViews(log, undefined, 5), readViews(log, undefined, 5)]
    for (const view of views) await log.append([view], never)
    for (const batches of await Promise.all(reading)) expect(idsOf(batches)).toEqual(idsOfViews(views))
  })

  test('another handle reads and appends to the same log', async () => {
    const [one, other] = [createView(), createView()]
    let position: LogPosition
    {
      await using first = await context().open()
      await first.append([one], never)
      position = await first.end()
    }
    await using second = await context().open()
    await second.append([other], never)
    expect(idsOf(await readViews(second, undefined, 2))).toEqual([one.id, other.id])
    expect(await second.end()).toEqual({ incarnation: position.incarnation, sequence: position.sequence + 1 })
  })

  test('reading after a position beyond the end fails', async () => {
    await using log = await context().open()
    await log.append(createViews(1), never)
    const { incarnation, sequence } = await log.end()
    await expect(readViews(log, { incarnation, sequence: sequence + 1 }, 1)).rejects.toMatchObject({
      name: 'LogRolledBackError',
    })
  })

  test('a deleted log is recreated as a new incarnation, which is read from its start', async () => {
    const { open, wipe } = context()
    let before: LogPosition
    {
      await using log = await open()
      await log.append(createViews(3), never)
      before = await log.end()
    }
    await wipe()
    await using log = await open()
    const view = createView()
    await log.append([view], never)
    const batches = await readViews(log, before, 1)
    expect(idsOf(batches)).toEqual([view.id])
    expect(batches[0]).toMatchObject({ after: 0 })
    expect(batches[0]?.incarnation).not.toBe(before.incarnation)
  })

  describe('after messages have expired', () => {
    async function openAfterExpiry(through: number): Promise<Handle> {
      const { open, expire } = context()
      {
        await using log = await open()
        for (const view of createViews(3)) await log.append([view], never)
      }
      await expire(through)
      return open()
    }

    test.each([2, 3])('the log retains the sequences after %i', async (through) => {
      await using log = await openAfterExpiry(through)
      const { incarnation } = await log.end()
      expect(await log.extent()).toEqual({ incarnation, first: through + 1, last: 3 })
    })

    test.each([
      [2, undefined, { from: 1, to: 2 }],
      [2, 1, { from: 2, to: 2 }],
      [3, undefined, { from: 1, to: 3 }],
      [3, 2, { from: 3, to: 3 }],
    ])('up to sequence %i, reading after position %s fails', async (through, sequence, missing) => {
      await using log = await openAfterExpiry(through)
      const { incarnation } = await log.end()
      const position = sequence === undefined ? undefined : { incarnation, sequence }
      await expect(readViews(log, position, 1)).rejects.toMatchObject({ name: 'LogTruncatedError', missing })
    })

    test('reading after a position in an earlier incarnation fails', async () => {
      await using log = await openAfterExpiry(1)
      const left = { incarnation: 'another', sequence: 9 }
      await expect(readViews(log, left, 1)).rejects.toMatchObject({ missing: { from: 1, to: 1 } })
    })

    test.each([2, 3])('reading continues after position %i if only messages up to 2 have expired', async (sequence) => {
      await using log = await openAfterExpiry(2)
      const { incarnation } = await log.end()
      const view = createView()
      await log.append([view], never)
      const batches = await readViews(log, { incarnation, sequence }, 4 - sequence)
      expect(idsOf(batches).at(-1)).toBe(view.id)
      expect(batches[0]).toMatchObject({ after: sequence, first: 3 })
    })

    test('reading continues if all messages were read before they expired', async () => {
      await using log = await openAfterExpiry(3)
      const view = createView()
      const position = await log.end()
      await log.append([view], never)
      expect(idsOf(await readViews(log, position, 1))).toEqual([view.id])
    })
  })

  test('an empty log retains nothing, and is read from its start', async () => {
    await using log = await context().open()
    const { incarnation } = await log.end()
    expect(await log.extent()).toEqual({ incarnation, first: 1, last: 0 })
    const view = createView()
    const reading = readViews(log, undefined, 1)
    await log.append([view], never)
    expect(idsOf(await reading)).toEqual([view.id])
  })

  test('reading ends when its signal aborts, even while it waits for new messages', async () => {
    await using log = await context().open()
    await log.append(createViews(1), never)
    const stop = new AbortController()
    const read: LogBatch[] = []
    for await (const batch of log.read(undefined, stop.signal)) {
      read.push(batch)
      stop.abort()
    }
    expect(read).toHaveLength(1)
    for await (const batch of log.read(await log.end(), AbortSignal.timeout(200))) read.push(batch)
    expect(read).toHaveLength(1)
  })
}

export function createViews(count: number): NewView[] {
  return Array.from({ length: count }, (_, index) => createView(index))
}

export function createView(index = 0): NewView {
  return {
    id: randomUUID(),
    assetId: `asset-${index % 7}`,
    userId: `user-${index % 11}`,
    at: '2026-11-20T21:00:00.000Z',
    requestId: 'request-1',
  }
}

/** Reads batches until they contain `count` views. */
export async function readViews(log: EventLog, after: LogPosition | undefined, count: number): Promise<LogBatch[]> {
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

/** Checks that each batch starts where the previous batch ends. */
function expectContiguous(batches: LogBatch[]): void {
  for (const [index, batch] of batches.entries()) expect(batch.after).toBe(batches[index - 1]?.through ?? 0)
}
