import { expect, test } from 'vitest'
import type { TraceSpan } from '../shared/contracts/trace.ts'
import { isSpanOf, toWaterfall } from './page/plays/waterfall.js'

const TRACE = 'a'.repeat(32)
const isPlay = ({ spanId }: TraceSpan) => spanId === 'play'

function span(spanId: string, parentSpanId: string | null, startMs: number, durationMs: number, more = {}): TraceSpan {
  const at = `2026-11-20T21:00:12.${String(Math.round(startMs * 1_000)).padStart(6, '0')}Z`
  const common = { service: 'play', name: spanId, kind: 'internal' as const, traceId: TRACE, error: null }
  return { ...common, spanId, parentSpanId, at, durationMs, attributes: {}, links: [], ...more }
}

const play = span('play', null, 0.25, 4, {
  kind: 'server',
  attributes: { 'http.response.status_code': 200, 'cache.metadata': 'hit', 'cache.cdnurl': 'miss' },
})
const lookup = span('look up counts', 'play', 0.75, 2, { attributes: { 'batch.size': 3 } })
const send = span('send video.viewed', 'play', 3, 1, { attributes: { 'recorded.place': 'log', 'batch.size': 1 } })
const process = (id: string, startMs: number, more = {}) =>
  span(id, 'send video.viewed', startMs, 5, {
    service: 'queue-listener',
    kind: 'consumer',
    attributes: { 'log.first': 41, 'log.last': 42, 'batch.size': 2, 'http.response.status_code': 200 },
    ...more,
  })

test('a waterfall shows the operations until the response, then the operations until the view is counted', () => {
  const call = span('POST reporting', 'process', 6, 4, { service: 'queue-listener', kind: 'client' })
  const waterfall = toWaterfall([play, lookup, send, process('process', 5), call], isPlay)
  expect(waterfall).toMatchObject({ responseMs: 4, countedMs: 9.75 })
  expect(waterfall?.summary).toBe(
    'Status 200 after 4.0 ms. Slowest step: look up counts, 2.0 ms. Counted after 9.8 ms.',
  )
  const shown = waterfall?.sections.map(({ title, fromMs, toMs, rows }) => ({
    title,
    range: [fromMs, toMs],
    rows: rows.map(({ depth, service, name, detail }) => [depth, `${service} ${name}`, detail]),
  }))
  expect(shown).toEqual([
    {
      title: 'Until the response',
      range: [0, 4],
      rows: [
        [0, 'play play', ''],
        [1, 'metadata cache hit: no call', ''],
        [1, "cdnurl shared another play's call", ''],
        [1, 'play look up counts', 'batch of 3'],
        [1, 'play send video.viewed', 'recorded in the log'],
      ],
    },
    {
      title: 'Until the view is counted',
      range: [4.75, 9.75],
      rows: [
        [0, 'queue-listener process', 'log sequences 41 to 42, batch of 2'],
        [1, 'queue-listener POST reporting', ''],
      ],
    },
  ])
})

test('operations that start after the response have their own section', () => {
  const call = span('GET metadata', 'play', 1, 3, { kind: 'client' })
  const late = span('GET /content/asset/:assetId', 'GET metadata', 1_000, 1, { service: 'metadata', kind: 'server' })
  const sections = toWaterfall([play, call, late], isPlay)?.sections ?? []
  expect(sections.map(({ title, rows }) => [title, ...rows.map(({ name }) => name)])).toEqual([
    ['Until the response', 'play', 'cache hit: no call', "shared another play's call", 'GET metadata'],
    ['Too late for the response', 'GET /content/asset/:assetId'],
  ])
  expect(sections[0]?.toMs).toBe(4)
})

test('a play that calls a service has no cache marker for that service', () => {
  const call = span('GET cdnurl', 'play', 1, 1, { kind: 'client', attributes: { 'peer.service': 'cdnurl' } })
  const [section] = toWaterfall([play, call], isPlay)?.sections ?? []
  expect(section?.rows.map(({ name }) => name)).toEqual(['play', 'cache hit: no call', 'GET cdnurl'])
})

test('a batch from another trace is shown below the operation that it links to', () => {
  const batch = span('POST reporting', 'other', 1, 1, {
    traceId: 'b'.repeat(32),
    links: [{ traceId: TRACE, spanId: 'look up counts' }],
  })
  const below = span('POST /events/lookup', 'POST reporting', 1, 1, { traceId: 'b'.repeat(32), service: 'reporting' })
  const [section] = toWaterfall([play, lookup, batch, below], isPlay)?.sections ?? []
  const rows = section?.rows.map(({ depth, name, isShared }) => [depth, name, isShared])
  expect(rows?.slice(-2)).toEqual([
    [2, 'POST reporting', true],
    [3, 'POST /events/lookup', false],
  ])
})

test('if it takes many attempts to count a view, only the last attempts are shown', () => {
  const failed = Array.from({ length: 6 }, (_, n) =>
    process(`failed ${n}`, 5 + n, { error: 'UpstreamError: down', attributes: { 'batch.size': 1 } }),
  )
  const open = toWaterfall([play, send, ...failed], isPlay)
  expect(open?.countedMs).toBeUndefined()
  expect(open?.summary).toMatch(/Not counted yet: the last attempt failed\.$/)
  const counted = toWaterfall([play, send, ...failed, process('done', 20)], isPlay)
  expect(counted?.summary).toMatch(/Counted after 25 ms\. It took 7 attempts\.$/)
  const names = counted?.sections[1]?.rows.map(({ name, isFailed, detail }) => [name, isFailed, detail])
  expect(names).toEqual([
    ['4 earlier attempts to count the view are not shown', false, ''],
    ['failed 4', true, 'UpstreamError: down'],
    ['failed 5', true, 'UpstreamError: down'],
    ['done', false, 'log sequences 41 to 42, batch of 2'],
  ])
})

test('if a trace contains several plays, only the requested play is shown', () => {
  const other = span('other play', null, 2, 1, { kind: 'server' })
  const [section, ...rest] =
    toWaterfall([play, other, process('stray', 5, { parentSpanId: 'other play' })], isPlay)?.sections ?? []
  expect(section?.rows.map(({ name }) => name)).not.toContain('other play')
  expect(rest).toEqual([])
})

test.each([
  ['by its view', { viewId: 'v2', requestId: 'r2' }, 'second'],
  ['by its request, if it has no view', { viewId: null, requestId: 'r3' }, 'third'],
  ['as the first play in its trace, if it has no response', { viewId: null, requestId: '' }, 'first'],
])("a play's span is found %s", (_, wanted, expected) => {
  const plays = ['first', 'second', 'third'].map((id, n) => {
    const attributes = { 'asset.id': '1', 'request.id': `r${n + 1}`, ...(n < 2 && { 'view.id': `v${n + 1}` }) }
    return span(id, null, n, 1, { attributes })
  })
  expect([lookup, ...plays].find(isSpanOf(wanted))?.name).toBe(expected)
})

test("without the play's span, there is no waterfall", () => {
  expect(toWaterfall([lookup], isPlay)).toBeUndefined()
})
