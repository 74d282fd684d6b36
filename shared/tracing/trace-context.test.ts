import { expect, test } from 'vitest'
import { createTraceIds, isSampled, parseTraceparent, toTraceparent, toTracestate } from './trace-context.ts'
import { nonRecordingTracing } from './tracing.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'

test.each([
  [`00-${traceId}-${spanId}-01`, true],
  [`00-${traceId}-${spanId}-00`, false],
  [`00-${traceId}-${spanId}-03`, true],
  [`00-${traceId}-${spanId}-fe`, false],
  [`01-${traceId}-${spanId}-01`, true],
  [`cc-${traceId}-${spanId}-01-fields-of-a-later-version`, true],
])('%s is a valid traceparent', (text, expected) => {
  expect(parseTraceparent(text)).toEqual({ traceId, spanId, isSampled: expected })
  expect(isSampled(text)).toBe(expected)
})

test.each([
  '',
  'text',
  `00-${traceId}-${spanId}`,
  `00-${traceId}-${spanId}-01-more`,
  `00-${traceId}-${spanId}-1`,
  `00-${traceId}-${spanId}-0x`,
  `00-${traceId.toUpperCase()}-${spanId}-01`,
  `00-${traceId.slice(1)}-${spanId}-01`,
  `00-${'0'.repeat(32)}-${spanId}-01`,
  `00-${traceId}-${'0'.repeat(16)}-01`,
  `ff-${traceId}-${spanId}-01`,
  `01-${traceId}-${spanId}-01-${'x'.repeat(201)}`,
  ` 00-${traceId}-${spanId}-01`,
  `00-${traceId}-${spanId}-01\n`,
])('%j is not a valid traceparent', (text) => {
  expect(parseTraceparent(text)).toBeUndefined()
  expect(isSampled(text)).toBe(false)
})

test('new ids are valid and unique', () => {
  const all = Array.from({ length: 1_000 }, () => createTraceIds())
  for (const ids of all) expect(parseTraceparent(toTraceparent(ids))).toEqual(ids)
  expect(new Set(all.map(({ traceId }) => traceId)).size).toBe(1_000)
  expect(new Set(all.map(({ spanId }) => spanId)).size).toBe(1_000)
})

test("a non-recording span propagates its caller's trace", () => {
  const given = { traceparent: `00-${traceId}-${spanId}-01`, tracestate: 'vendor=1' }
  const span = nonRecordingTracing.start('work', given)
  expect({ ...span.child('part') }).toMatchObject({ ...given, traceId, isRecorded: false })
})

test.each(['a'.repeat(513), 'vendor=é', 'vendor=1\nx: y', 'vendor=\u0000', '', 7, undefined])(
  'the tracestate %j is not propagated',
  (text) => {
    expect(toTracestate(text)).toBeUndefined()
  },
)

test('a non-recording span drops a tracestate that other servers could reject', () => {
  const span = nonRecordingTracing.start('work', {
    traceparent: `00-${traceId}-${spanId}-01`,
    tracestate: 'a'.repeat(10_000),
  })
  expect(span.tracestate).toBeUndefined()
})

test('without a valid traceparent, a non-recording span starts a new trace', () => {
  for (const traceparent of [undefined, 'text']) {
    const span = nonRecordingTracing.start('work', { traceparent, tracestate: 'vendor=1' })
    expect(parseTraceparent(span.traceparent)).toMatchObject({ traceId: span.traceId, isSampled: false })
    expect(span.tracestate).toBeUndefined()
  }
})
