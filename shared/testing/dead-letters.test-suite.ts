import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import type { LogPosition } from '../contracts/position.ts'
import type { EventLog, LogBatch } from '../event-log/event-log.ts'
import { createView, createViews, type Handle, idsOf, idsOfViews } from './event-log.test-suite.ts'

const never = new AbortController().signal
const AT = '2026-11-20T21:00:00.000Z'

type Context = {
  /** Opens another handle on the same log, as another process would. */
  open: () => Handle | Promise<Handle>
  /** Appends a body as another program would, while no handle is open. */
  appendRaw: (body: string) => Promise<void>
  /** The log lines from all handles so far. */
  lines: () => string[]
}

/** The producer and serial of the first view that a replay of message 1 appends. */
const REPLAYED = { producer: 'dead-letter.1', serial: 1 }

/** The conformance suite for an event log's dead letters. */
export function describeDeadLetters(context: () => Context) {
  /** Opens a log that holds these bodies, and reads it once. */
  async function openWith(...bodies: string[]): Promise<Handle> {
    {
      await using log = await context().open()
      await log.end()
    }
    for (const body of bodies) await context().appendRaw(body)
    const log = await context().open()
    await readToEnd(log)
    return log
  }

  const logged = () =>
    context()
      .lines()
      .filter((line) => line.includes('dead letter:'))

  test('an invalid message becomes one dead letter and is logged once, however often it is read', async () => {
    {
      await using log = await openWith('not json')
      await readToEnd(log)
    }
    await using log = await context().open()
    expect(deadLettersIn(await readToEnd(log))).toBe(1)
    expect(await sequencesOf(log)).toEqual([1])
    expect(await log.deadLetters.count()).toBe(1)
    expect(logged()).toEqual([expect.stringContaining('not valid JSON')])
  })

  test('a dead letter records its time, its size, and a reason without control characters', async () => {
    await using log = await openWith('\u001b[31mé')
    const { deadLetters } = await log.deadLetters.list({ limit: 10 })
    const [letter] = deadLetters
    expect(letter).toMatchObject({ sequence: 1, size: 7 })
    expect(letter?.reason).toMatch(/^[\x20-\x7e]*not valid JSON$/)
    expect(Math.abs(Date.now() - Date.parse(letter?.at ?? ''))).toBeLessThan(60_000)
  })

  test.each([
    [{ type: 'other' }, '[0].type: Invalid discriminator value'],
    [{ id: '', source: '' }, '[0].id: Too small'],
    [{ time: '0000-01-01T00:00:00+23:59' }, '[0].time: must be in the years 0000 to 9999 in UTC'],
    [{ time: '9999-12-31T23:59:59-23:59' }, '[0].time: must be in the years 0000 to 9999 in UTC'],
  ])('an event with %j becomes a dead letter whose reason starts with the invalid field', async (changed, reason) => {
    await using log = await openWith(JSON.stringify([{ ...eventOf(), ...changed }]))
    const [letter] = (await log.deadLetters.list({ limit: 10 })).deadLetters
    expect(letter?.reason.slice(0, reason.length)).toBe(reason)
    expect(letter?.reason).not.toContain('\\u')
  })

  test('the first instant of the year 0000 is a valid time', async () => {
    await using log = await openWith(JSON.stringify([{ ...eventOf(), time: '0000-01-01T00:00:00Z' }]))
    expect(await log.deadLetters.count()).toBe(0)
  })

  test('dead letters are listed by sequence, in pages', async () => {
    await using log = await openWith('a', 'b', 'c', 'd')
    const page = async (after: number | undefined, limit: number) => {
      const { deadLetters, next } = await log.deadLetters.list({ after, limit })
      return [deadLetters.map(({ sequence }) => sequence), next]
    }
    const all = await sequencesOf(log)
    const [first, second, third, fourth] = all
    expect(all).toHaveLength(4)
    expect(all).toEqual(all.toSorted((a, b) => a - b))
    expect(await page(undefined, 2)).toEqual([[first, second], second])
    expect(await page(second, 2)).toEqual([[third, fourth], null])
    expect(await page(first, 1)).toEqual([[second], second])
    expect(await page(fourth, 2)).toEqual([[], null])
  })

  test('get() returns a dead letter with its body', async () => {
    await using log = await openWith('not json')
    const letter = await log.deadLetters.get(1)
    expect(Buffer.from(letter?.body ?? []).toString()).toBe('not json')
    expect(letter).toMatchObject({ sequence: 1, size: 8, headers: {} })
  })

  test('a sequence without a dead letter is not found, even if it belongs to a valid message', async () => {
    await using log = await openWith('not json')
    await log.append(createViews(1), never)
    const { sequence } = await log.end()
    for (const other of [sequence, 1_000, Number.MAX_SAFE_INTEGER]) {
      expect(await log.deadLetters.get(other)).toBeUndefined()
      expect(await log.deadLetters.replay(other)).toEqual({ outcome: 'not found' })
      expect(await log.deadLetters.delete(other)).toEqual({ outcome: 'not found' })
    }
  })

  test('an invalid dead letter cannot be replayed without a correction', async () => {
    await using log = await openWith('not json')
    expect(await log.deadLetters.replay(1)).toEqual({
      outcome: 'invalid',
      reason: expect.stringContaining('not valid JSON'),
    })
    expect(await sequencesOf(log)).toEqual([1])
  })

  test("a dead letter's correction is read once, and the original is skipped", async () => {
    const [view, ...others] = createViews(3)
    await using log = await openWith('not json')
    await log.append(others, never)
    const before = await log.end()
    const body = { ...eventOf('corrected'), vendor: 'kept' }
    expect(await log.deadLetters.replay(1, toBody(body))).toEqual({
      outcome: 'resolved',
      sequence: expect.any(Number),
      views: 1,
    })
    expect(viewsIn(await readToEnd(log, before))).toEqual([
      { id: 'corrected', assetId: '456', userId: '8', at: AT, ...REPLAYED },
    ])
    const all = await readToEnd(log)
    expect(idsOf(all)).toEqual([...idsOfViews(others), 'corrected'])
    expect(idsOf(all)).not.toContain(view?.id)
    expect(deadLettersIn(all)).toBe(0)
    expect(await sequencesOf(log)).toEqual([])
    expect(await log.deadLetters.count()).toBe(0)
    expect(await log.deadLetters.get(1)).toBeUndefined()
  })

  test('an invalid correction is refused with the reason, and changes nothing', async () => {
    await using log = await openWith('not json')
    const before = await log.end()
    for (const body of ['', '[]', '{}', '{"a":', JSON.stringify([eventOf('a'), { ...eventOf('b'), data: {} }])]) {
      const refused = await log.deadLetters.replay(1, Buffer.from(body))
      expect(refused).toEqual({ outcome: 'invalid', reason: expect.stringMatching(/\w/) })
    }
    expect(await log.deadLetters.replay(1, Buffer.from([0x22, 0xff, 0x22]))).toMatchObject({ outcome: 'invalid' })
    expect(await log.end()).toEqual(before)
    expect(await sequencesOf(log)).toEqual([1])
  })

  test('a correction may omit events in the original, but must not add any', async () => {
    const invalid = [{ ...eventOf('a'), data: { assetId: '/', userId: '8' } }, eventOf('b')]
    await using log = await openWith(JSON.stringify(invalid))
    for (const ids of [['c'], ['a', 'c'], ['a', 'a'], ['a', 'b', 'b']]) {
      expect(await log.deadLetters.replay(1, toBody(...ids.map(eventOf)))).toEqual({
        outcome: 'invalid',
        reason: expect.stringContaining('no other event with the id'),
      })
    }
    expect(await log.deadLetters.replay(1, toBody(eventOf('b')))).toMatchObject({ outcome: 'resolved', views: 1 })
    expect(idsOf(await readToEnd(log))).toEqual(['b'])
  })

  test('a correction of an original without ids may have any ids', async () => {
    await using log = await openWith(JSON.stringify([{ ...eventOf('a'), id: 7 }, eventOf('b')]))
    const corrected = toBody(eventOf('c'), eventOf('d'))
    expect(await log.deadLetters.replay(1, corrected)).toMatchObject({ outcome: 'resolved', views: 2 })
    expect(idsOf(await readToEnd(log))).toEqual(['c', 'd'])
  })

  test('refused views are skipped until they are replayed, and are then read once', async () => {
    const [refused, other] = [createView(), createView()]
    {
      await using log = await context().open()
      await log.append([refused], never)
      await log.append([other], never)
      await log.reject(1, 'reporting responded 400')
      await log.reject(1, 'reporting responded 400')
    }
    await using log = await context().open()
    const batches = await readToEnd(log)
    expect(idsOf(batches)).toEqual([other.id])
    expect(deadLettersIn(batches)).toBe(1)
    expect(await log.deadLetters.replay(1)).toMatchObject({ outcome: 'resolved', views: 1 })
    const { requestId, ...counted } = refused
    expect(viewsIn(await readToEnd(log)).at(-1)).toEqual({ ...counted, ...REPLAYED })
    expect(idsOf(await readToEnd(log))).toEqual([other.id, refused.id])
    expect(logged()).toHaveLength(1)
  })

  test('an event without a time is replayed with the time at which its original was stored', async () => {
    const { time, ...event } = eventOf('a')
    const before = Date.now()
    await using log = await openWith(JSON.stringify(event))
    await log.reject(1, 'reporting responded 400')
    const after = Date.now()
    await log.deadLetters.replay(1)
    const [view] = viewsIn(await readToEnd(log))
    expect(Date.parse(view?.at ?? '')).toBeGreaterThanOrEqual(before - 2)
    expect(Date.parse(view?.at ?? '')).toBeLessThanOrEqual(after)
  })

  test('a deleted dead letter is neither listed nor read', async () => {
    await using log = await openWith('not json')
    expect(await log.deadLetters.delete(1)).toMatchObject({ outcome: 'resolved', views: 0 })
    expect(await sequencesOf(log)).toEqual([])
    const views = createViews(2)
    await log.append(views, never)
    const batches = await readToEnd(log)
    expect(idsOf(batches)).toEqual(idsOfViews(views))
    expect(deadLettersIn(batches)).toBe(0)
  })

  test('a resolved dead letter cannot be resolved again, and the refusal names the earlier resolution', async () => {
    await using log = await openWith('a', 'b')
    const [first = 0, second = 0] = await sequencesOf(log)
    await log.deadLetters.replay(first, toBody(eventOf('a')))
    await log.deadLetters.delete(second)
    const end = await log.end()
    for (const [sequence, action] of [
      [first, 'replayed'],
      [second, 'deleted'],
    ] as const) {
      const refusal = { outcome: 'already resolved', resolution: { action, at: expect.stringMatching(/^20.*Z$/) } }
      expect(await log.deadLetters.replay(sequence, toBody(eventOf('a')))).toEqual(refusal)
      expect(await log.deadLetters.replay(sequence)).toEqual(refusal)
      expect(await log.deadLetters.delete(sequence)).toEqual(refusal)
    }
    expect(await log.end()).toEqual(end)
  })

  test('exactly one of several concurrent replays and deletions succeeds', async () => {
    await using log = await openWith('not json')
    const attempts = [1, 2, 3, 4].flatMap(() => [
      log.deadLetters.replay(1, toBody(eventOf('a'))),
      log.deadLetters.delete(1),
    ])
    const outcomes = (await Promise.all(attempts)).map(({ outcome }) => outcome)
    expect(outcomes.filter((outcome) => outcome === 'resolved')).toHaveLength(1)
    expect(outcomes.filter((outcome) => outcome === 'already resolved')).toHaveLength(outcomes.length - 1)
    expect(idsOf(await readToEnd(log)).length).toBeLessThanOrEqual(1)
  })

  test('a resolved dead letter stays resolved after a restart', async () => {
    {
      await using log = await openWith('a', 'b', 'c')
      const [first = 0, second = 0] = await sequencesOf(log)
      await log.deadLetters.replay(first, toBody(eventOf('a')))
      await log.deadLetters.delete(second)
    }
    const before = logged()
    await using log = await context().open()
    const batches = await readToEnd(log)
    expect(idsOf(batches)).toEqual(['a'])
    expect(deadLettersIn(batches)).toBe(1)
    expect(await log.deadLetters.count()).toBe(1)
    expect(await log.deadLetters.delete(1)).toMatchObject({ outcome: 'already resolved' })
    expect(logged()).toEqual(before)
  })

  test('a replay that is refused becomes a dead letter itself, and can be replayed in turn', async () => {
    await using log = await openWith('not json')
    const replayed = await log.deadLetters.replay(1, toBody(eventOf('a')))
    const sequence = replayed.outcome === 'resolved' ? replayed.sequence : 0
    await log.reject(sequence, 'reporting responded 400')
    expect(await sequencesOf(log)).toEqual([sequence])
    expect(await log.deadLetters.replay(sequence)).toMatchObject({ outcome: 'resolved' })
    expect(idsOf(await readToEnd(log))).toEqual(['a'])
    expect(await sequencesOf(log)).toEqual([])
  })
}

export function eventOf(id: string = randomUUID()) {
  const data = { assetId: '456', userId: '8' }
  return { specversion: '1.0', id, source: '/tv', type: 'video.viewed', time: AT, data }
}

export function toBody(...events: object[]): Uint8Array {
  return Buffer.from(JSON.stringify(events))
}

/** Reads all batches up to the current end. */
export async function readToEnd(log: EventLog, after?: LogPosition): Promise<LogBatch[]> {
  const batches: LogBatch[] = []
  if ((await log.backlog(after)).messages === 0) return batches
  for await (const batch of log.read(after, never)) {
    batches.push(batch)
    const { incarnation, through: sequence } = batch
    if ((await log.backlog({ incarnation, sequence })).messages === 0) break
  }
  return batches
}

export async function sequencesOf(log: EventLog): Promise<number[]> {
  return (await log.deadLetters.list({ limit: 1_000 })).deadLetters.map(({ sequence }) => sequence)
}

const viewsIn = (batches: LogBatch[]) => batches.flatMap(({ views }) => views)
const deadLettersIn = (batches: LogBatch[]) => batches.reduce((sum, { deadLetters }) => sum + deadLetters, 0)
