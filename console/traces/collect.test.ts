import { expect, test } from 'vitest'
import type { InstanceResponse } from '../../shared/client/instance-response.ts'
import type { TraceSpan } from '../../shared/contracts/trace.ts'
import { createTraceCollector } from './collect.ts'
import { createPlayList } from './plays.ts'

const MINE = 'a'.repeat(32)
const OTHER = 'b'.repeat(32)
const NOT_FOUND = { traceId: MINE, status: 'Trace not found', requestId: '1' }

let second = 10
function span(id: string, traceId: string, more: Partial<TraceSpan> = {}): TraceSpan {
  second += 1
  return {
    service: 'test',
    name: id,
    kind: 'client',
    traceId,
    spanId: id.repeat(16),
    parentSpanId: null,
    at: `2026-11-20T21:00:${second}.000000Z`,
    durationMs: 1,
    attributes: {},
    links: [],
    error: null,
    ...more,
  }
}

const found = (traceId: string, spans: TraceSpan[]) => ({ status: 200, body: { traceId, spans } })

/** A fake service. `respond` returns each instance's response to a path. */
function serviceOf(name: string, respond: (path: string) => InstanceResponse['response'][]) {
  const getAll = async (path: string) => respond(path).map((response) => ({ url: 'http://127.0.0.1', response }))
  return { name, getAll }
}

test('a trace has the spans from all instances, without duplicates, sorted by start time', async () => {
  const [first, second, third] = [span('1', MINE), span('2', MINE), span('3', MINE)]
  const collect = createTraceCollector({
    kept: { get: () => [second], all: () => [] },
    clients: [
      serviceOf('metadata', () => [found(MINE, [third]), { status: 404, body: NOT_FOUND }]),
      serviceOf('play', () => [found(MINE, [second, first])]),
    ],
  })
  expect(await collect(MINE)).toEqual({ traceId: MINE, spans: [first, second, third], missing: [] })
})

test.each([
  ['does not respond', undefined],
  ['runs a release without traces', { status: 404, body: { status: 'Not found', requestId: '1' } }],
  ['responds with something other than a trace', { status: 200, body: [] }],
])('a service is listed as missing if one of its instances %s', async (_, response) => {
  const collect = createTraceCollector({
    kept: { get: () => [], all: () => [] },
    clients: [serviceOf('metadata', () => [found(MINE, [span('1', MINE)]), response])],
  })
  expect(await collect(MINE)).toMatchObject({ spans: [{ name: '1' }], missing: ['metadata'] })
})

const REFUSED = [
  ['404 on its public port because OPS_PORT is set', { status: 404, body: { status: 'Not found', requestId: '1' } }],
  ['401 because it requires a token', { status: 401, body: { status: 'Unauthorized', requestId: '1' } }],
] as const

test.each(REFUSED)(
  'play is not listed as missing if its only instance is this process, which returns %s',
  async (_, response) => {
    const kept = { get: () => [span('1', MINE)], all: () => [] }
    const play = serviceOf('play', () => [response])
    expect(await createTraceCollector({ kept, clients: [play] })(MINE)).toMatchObject({ missing: [] })
    expect(await createPlayList({ kept, plays: [play] }).all({ limit: 1 })).toMatchObject({ missing: [] })
  },
)

test.each(REFUSED)('play is listed as missing if one of several instances responds with %s', async (_, response) => {
  const kept = { get: () => [span('1', MINE)], all: () => [] }
  const play = serviceOf('play', () => [response, found(MINE, [])])
  expect(await createTraceCollector({ kept, clients: [play] })(MINE)).toMatchObject({ missing: ['play'] })
  expect(await createPlayList({ kept, plays: [play] }).all({ limit: 1 })).toMatchObject({ missing: ['play'] })
})

test('a trace with a shared batch includes the spans below the batch, but no spans from other plays', async () => {
  const batch = span('1', OTHER, { links: [{ traceId: MINE, spanId: '9'.repeat(16) }] })
  const below = span('2', OTHER, { parentSpanId: batch.spanId })
  const further = span('3', OTHER, { parentSpanId: below.spanId })
  const stranger = span('4', OTHER)
  const collect = createTraceCollector({
    kept: { get: (traceId) => (traceId === MINE ? [batch] : [batch, stranger]), all: () => [] },
    clients: [
      serviceOf('reporting', (path) =>
        path.includes(OTHER) ? [found(OTHER, [below, further])] : [{ status: 404, body: NOT_FOUND }],
      ),
    ],
  })
  expect((await collect(MINE)).spans).toEqual([batch, below, further])
})
