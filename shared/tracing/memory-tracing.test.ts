import { expect, test, vi } from 'vitest'
import { useFakeClock } from '../testing/fake-clock.ts'
import { createTraceStore } from './kept-traces.ts'
import { createMemoryTracing } from './memory-tracing.ts'
import { createSampler } from './sampler.ts'
import { createTraceIds, parseTraceparent } from './trace-context.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`

test('a recorded trace contains its spans with their parents, attributes, links and errors', () => {
  const { tracing } = setUp()
  const other = tracing.start('other', {})
  const root = tracing.start('POST', { traceparent, tracestate: 'vendor=1' }, { kind: 'server' })
  const child = root.child('call', { kind: 'client', attributes: { size: 1 }, links: [other] })
  root.annotate({ 'view.id': 'v1' })
  child.end({ attributes: { status: 503 }, error: new TypeError('broken') })
  root.end({ name: 'POST /play' })
  expect(root).toMatchObject({ isRecorded: true, traceId, tracestate: 'vendor=1' })
  const { spanId } = parseTraceparent(root.traceparent) ?? {}
  expect(tracing.kept.get(traceId)).toEqual([
    expect.objectContaining({
      service: 'test',
      name: 'POST /play',
      kind: 'server',
      traceId,
      spanId,
      parentSpanId: '00f067aa0ba902b7',
      attributes: { 'view.id': 'v1' },
      error: null,
    }),
    expect.objectContaining({
      name: 'call',
      kind: 'client',
      parentSpanId: spanId,
      attributes: { size: 1, status: 503 },
      links: [{ traceId: other.traceId, spanId: parseTraceparent(other.traceparent)?.spanId }],
      error: 'TypeError: broken',
    }),
  ])
})

test('a trace includes spans of other traces that link to it, such as a shared batch', () => {
  const { tracing } = setUp()
  const mine = tracing.start('mine', { traceparent })
  const leader = tracing.start('leader', {})
  leader.child('batch', { links: [mine] }).end()
  mine.end()
  leader.end()
  expect(tracing.kept.get(traceId).map(({ name }) => name)).toEqual(['mine', 'batch'])
})

test('only the most recent traces are kept', () => {
  const { tracing } = setUp({ max: 2 })
  const spans = ['a', 'b', 'c'].map((name) => tracing.start(name, {}))
  for (const span of spans) span.end()
  expect(tracing.kept.all().map(([span]) => span?.name)).toEqual(['c', 'b'])
  expect(tracing.kept.get(String(spans[0]?.traceId))).toEqual([])
})

test('a trace with too many spans keeps its first and its last spans', () => {
  const { tracing } = setUp()
  for (let n = 1; n <= 130; n += 1) tracing.start(`span ${n}`, { traceparent }).end()
  const names = tracing.kept.get(traceId).map(({ name }) => name)
  expect(names).toHaveLength(50)
  expect([names[0], names[24], names[25], names.at(-1)]).toEqual(['span 1', 'span 25', 'span 106', 'span 130'])
})

test('long strings and long lists of links are truncated', () => {
  const { tracing } = setUp()
  const long = 'x'.repeat(10_000)
  const links = Array.from({ length: 300 }, () => tracing.start('other', {}))
  tracing.start(long, { traceparent }, { attributes: { long, n: 7 }, links }).end({ error: new Error(long) })
  const [span] = tracing.kept.get(traceId)
  expect(span?.name).toHaveLength(256)
  expect(span?.error).toHaveLength(256)
  expect(span?.attributes).toEqual({ long: 'x'.repeat(256), n: 7 })
  expect(span?.links).toHaveLength(100)
})

test('callers can sample at most 100 new traces per second; further traces are propagated as not sampled', async () => {
  useFakeClock()
  const { tracing } = setUp({ max: 1_000 })
  const start = () => tracing.start('work', { traceparent: `00-${createTraceIds().traceId}-00f067aa0ba902b7-01` })
  const spans = Array.from({ length: 300 }, start)
  expect(spans.filter(({ isRecorded }) => isRecorded)).toHaveLength(100)
  const refused = parseTraceparent(spans.at(-1)?.traceparent ?? '')
  expect(refused?.isSampled).toBe(false)
  expect(refused?.spanId).not.toBe('00f067aa0ba902b7')
  await vi.advanceTimersByTimeAsync(1_000)
  expect(start().isRecorded).toBe(true)
})

test('a trace counts as new again once some of its spans have been dropped', () => {
  useFakeClock()
  const { tracing } = setUp()
  const spans = Array.from({ length: 300 }, () => {
    const span = tracing.start('work', { traceparent })
    span.end()
    return span
  })
  expect(spans.filter(({ isRecorded }) => isRecorded).length).toBeLessThanOrEqual(150)
})

test('a read is recorded only if its caller samples it', () => {
  const { tracing } = setUp()
  expect(tracing.start('GET', {}).isRecorded).toBe(false)
  expect(tracing.start('GET', { traceparent }).isRecorded).toBe(true)
  expect(tracing.start('POST', {}).isRecorded).toBe(true)
})

test('a span that is not recorded propagates its trace context unchanged', () => {
  const { tracing } = setUp()
  const given = { traceparent: traceparent.replace(/1$/, '0'), tracestate: 'vendor=1' }
  expect(tracing.start('work', given)).toMatchObject({ ...given, traceId, isRecorded: false })
  expect(tracing.kept.all()).toEqual([])
})

function setUp({ max = 10 } = {}) {
  const sample = createSampler({ OTEL_TRACES_SAMPLER: undefined, OTEL_TRACES_SAMPLER_ARG: 1 })
  return { tracing: createMemoryTracing({ service: 'test', sample, store: createTraceStore(max) }) }
}
