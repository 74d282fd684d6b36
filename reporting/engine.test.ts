import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { View } from '../shared/contracts/view.ts'
import { createReference } from './reference.test-suite.ts'

const START = Date.parse('2026-11-20T21:00:00Z')

describe('a play of the same asset by the same user', () => {
  test.each([
    [0, 'not-qualified'],
    [30, 'not-qualified'],
    [30.001, 'qualified'],
  ])('%d s after the previous one is %s', (seconds, verdict) => {
    expect(judge([{ at: 0 }, { at: seconds }])).toEqual(['qualified', verdict])
  })

  test('within 30 s of a play that does not qualify does not qualify either', () => {
    expect(judge([{ at: 0 }, { at: 20 }, { at: 40 }, { at: 71 }])).toEqual([
      'qualified',
      'not-qualified',
      'not-qualified',
      'qualified',
    ])
  })

  test('is also a repeat if it took place up to 30 s before the play that precedes it in the log', () => {
    expect(judge([{ at: 20 }, { at: 0 }])).toEqual(['qualified', 'not-qualified'])
    expect(judge([{ at: 40 }, { at: 0 }])).toEqual(['qualified', 'qualified'])
  })

  test('is a repeat even after an outage, when all views are stored late', () => {
    const late = { stored: 3_600 }
    expect(judge([{ at: 3_590 }, { at: 0, user: 'v', ...late }, { at: 10, user: 'v', ...late }])).toEqual([
      'qualified',
      'qualified',
      'not-qualified',
    ])
  })

  test('qualifies if the log stored the previous one more than 30 s earlier', () => {
    expect(judge([{ at: 0 }, { at: 10, stored: 31 }])).toEqual(['qualified', 'qualified'])
  })
})

test('a play of another asset, or by another user, qualifies', () => {
  expect(judge([{ at: 0 }, { at: 0, asset: 'b' }, { at: 0, user: 'v' }])).toEqual([
    'qualified',
    'qualified',
    'qualified',
  ])
})

test("earlier plays are remembered even if the log's timestamps go backwards", () => {
  expect(
    judge([
      { at: 0, stored: 60 },
      { at: 1, stored: 5 },
    ]),
  ).toEqual(['qualified', 'not-qualified'])
})

describe('an event with an idempotency key', () => {
  test.each([
    ['the same play', {}, { retried: 1 }],
    ['the same play up to 24 h earlier', { at: 86_400 }, { retried: 1 }],
    ['another asset', { asset: 'b' }, { keysReused: 1 }],
  ])('is not a view if its key was already used for %s', (_, second, expected) => {
    const { views, ...counts } = read([
      { at: 0, key: 'k' },
      { at: 0, key: 'k', ...second },
    ])
    expect(views).toHaveLength(1)
    expect(counts).toMatchObject(expected)
  })

  test('is a view if its key was last used more than 24 h earlier', () => {
    expect(
      read([
        { at: 0, key: 'k' },
        { at: 86_401, key: 'k' },
      ]).views,
    ).toHaveLength(2)
  })

  test('does not turn a later play without a key into a retry', () => {
    expect(read([{ at: 0, key: 'k' }, { at: 60 }]).views).toHaveLength(2)
  })
})

test('a view from a previous release of queue-listener, which omits `messages`, is judged by its own time', () => {
  const views = [0, 10, 50].map((second) => toView({ at: second }, second))
  const { views: judged } = createReference()({ after: 0, through: 9, views })
  expect(judged.map(({ verdict, sequence }) => [verdict, sequence])).toEqual([
    ['qualified', 9],
    ['not-qualified', 9],
    ['qualified', 9],
  ])
})

test('serials in dead letters are consumed in log order, however the log is divided into batches', () => {
  const message = fc.record({ serial: fc.integer({ min: 1, max: 5 }), isDeadLetter: fc.boolean() })
  fc.assert(
    fc.property(
      fc.array(message, { maxLength: 12 }),
      fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }),
      (log, ends) => {
        const toBatch = (after: number, through: number) => {
          const read = log.slice(after, through).map((entry, n) => ({ ...entry, sequence: after + n + 1 }))
          const views = read.filter(({ isDeadLetter }) => !isDeadLetter)
          return {
            after,
            through,
            views: views.map(({ serial, sequence }) => ({ ...toView({ at: 0 }, sequence), producer: 'p', serial })),
            messages: views.map(({ sequence }) => ({ sequence, views: 1, at: new Date(START).toISOString() })),
            rejected: read
              .filter(({ isDeadLetter }) => isDeadLetter)
              .map(({ serial, sequence }) => ({ producer: 'p', from: serial, to: serial, sequence })),
          }
        }
        const [one, many] = [createReference(), createReference()]
        const expected = log.flatMap((_, n) => one(toBatch(n, n + 1)).views)
        const stops = [...ends.flatMap((isEnd, n) => (isEnd && n < log.length ? [n] : [])), log.length]
        const actual = stops.flatMap((stop, n) => many(toBatch(stops[n - 1] ?? 0, stop)).views)
        expect(actual).toEqual(expected)
      },
    ),
  )
})

type Drawn = { at: number; stored?: number; asset?: string; user?: string; key?: string }

function toView({ at, asset = 'a', user = 'u', key }: Drawn, n: number): View {
  const time = new Date(START + at * 1_000).toISOString()
  const view: View = { id: key ?? `view-${n}`, assetId: asset, userId: user, at: time }
  return key === undefined ? view : { ...view, keyed: true }
}

/** Reads a log with one message per view as a single batch. Times are in seconds since START. */
function read(drawn: Drawn[]) {
  const messages = drawn.map(({ at, stored = at }, n) => ({
    sequence: n + 1,
    views: 1,
    at: new Date(START + stored * 1_000).toISOString(),
  }))
  return createReference()({ after: 0, through: drawn.length, views: drawn.map(toView), messages })
}

function judge(drawn: Drawn[]) {
  return read(drawn).views.map(({ verdict }) => verdict)
}
