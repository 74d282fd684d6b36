import { formatMs } from '../format-ms.js'

/** @typedef {import('../../../shared/contracts/trace.ts').TraceSpan} TraceSpan */
/**
 * One row, usually an operation. `startMs` is relative to the start of the play. `isShared`: the operation belongs to
 * a batch of several plays. `isMarker`: the row is not an operation, but a remark, such as a cache hit.
 * @typedef {{
 *   service: string, name: string, depth: number, startMs: number, durationMs: number,
 *   detail: string, isFailed: boolean, isShared: boolean, isMarker: boolean,
 * }} Row
 */
/** @typedef {{ title: string, fromMs: number, toMs: number, rows: Row[] }} Section */
/**
 * A play and the operations that it caused. `countedMs`: when the view was counted, in milliseconds after the start of
 * the play; undefined if unknown.
 * @typedef {{ summary: string, responseMs: number, countedMs: number | undefined, sections: Section[] }} Waterfall
 */

/** Maximum number of attempts to show. An outage may cause many attempts to count a view. */
const MAX_ATTEMPTS = 3

/**
 * Returns a function that recognizes a play's span. A failed play has no view id, and a play without a response has no
 * known request id either.
 * @param {{ viewId: string | null, requestId: string }} play
 * @returns {(span: TraceSpan) => boolean}
 */
export function isSpanOf({ viewId, requestId }) {
  return ({ attributes }) => {
    if (viewId !== null) return attributes['view.id'] === viewId
    return attributes['asset.id'] !== undefined && (requestId === '' || attributes['request.id'] === requestId)
  }
}

/**
 * Arranges a play's spans in sections, each with its own scale: operations before the response, operations that were
 * too late for it, and operations that count the view.
 * @param {TraceSpan[]} spans
 * @param {(span: TraceSpan) => boolean} isPlay
 * @returns {Waterfall | undefined} undefined if the spans do not include the play itself
 */
export function toWaterfall(spans, isPlay) {
  const root = spans.find(isPlay)
  if (!root) return undefined
  const start = toMs(root.at)
  const steps = rowsBelow(root, spans, start, 1)
  const attempts = spans.filter((span) => span.kind === 'consumer' && isBelow(span, root, spans))
  const success = attempts.findLast(({ attributes }) => attributes['http.response.status_code'] === 200)
  const countedMs = success && toMs(success.at) - start + success.durationMs
  const inTime = steps.filter(({ startMs }) => startMs <= root.durationMs)
  const late = steps.filter(({ startMs }) => startMs > root.durationMs)
  const response = [toRow(root, root, start, 0), ...cacheMarkers(root, spans), ...inTime]
  const later = attempts.slice(-MAX_ATTEMPTS).flatMap((span) => rowsFrom(span, root, spans, start, 0))
  const earlier = attempts.length - MAX_ATTEMPTS
  if (earlier > 0 && later[0])
    later.unshift(toMarker(later[0], `${earlier} earlier attempts to count the view are not shown`))
  return {
    responseMs: root.durationMs,
    countedMs,
    summary: [...summarizeResponse(root, steps), ...summarizeCount(countedMs, attempts.length)].join(' '),
    sections: [
      toSection('Until the response', response),
      // After a hang, a service may still process calls that play has given up on.
      ...(late.length > 0 ? [toSection('Too late for the response', late)] : []),
      ...(later.length > 0 ? [toSection('Until the view is counted', later)] : []),
    ],
  }
}

/**
 * @param {string} title
 * @param {Row[]} rows
 * @returns {Section}
 */
function toSection(title, rows) {
  const fromMs = Math.min(...rows.map(({ startMs }) => startMs))
  const toMs = Math.max(...rows.map(({ startMs, durationMs }) => startMs + durationMs))
  return { title, fromMs, toMs, rows }
}

/**
 * The operations that a span caused, except those that count the view.
 * @param {TraceSpan} parent
 * @param {TraceSpan[]} spans
 * @param {number} start
 * @param {number} depth
 * @returns {Row[]}
 */
function rowsBelow(parent, spans, start, depth) {
  const children = spans.filter((span) => isChild(span, parent) && span.kind !== 'consumer')
  return children.flatMap((span) => rowsFrom(span, parent, spans, start, depth))
}

/**
 * @param {TraceSpan} span
 * @param {TraceSpan} parent
 * @param {TraceSpan[]} spans
 * @param {number} start
 * @param {number} depth
 */
function rowsFrom(span, parent, spans, start, depth) {
  return [toRow(span, parent, start, depth), ...rowsBelow(span, spans, start, depth + 1)]
}

/**
 * A batch is the child of one of its plays, and links to the others.
 * @param {TraceSpan} span
 * @param {TraceSpan} parent
 */
function isChild(span, parent) {
  return span.parentSpanId === parent.spanId || span.links.some(({ spanId }) => spanId === parent.spanId)
}

/**
 * @param {TraceSpan} span
 * @param {TraceSpan} root
 * @param {TraceSpan[]} spans
 * @returns {boolean}
 */
function isBelow(span, root, spans) {
  if (span.parentSpanId === root.spanId) return true
  const parent = spans.find(({ spanId }) => spanId === span.parentSpanId)
  return parent !== undefined && isBelow(parent, root, spans)
}

/**
 * @param {TraceSpan} span
 * @param {TraceSpan} parent
 * @param {number} start
 * @param {number} depth
 * @returns {Row}
 */
function toRow(span, parent, start, depth) {
  const { service, name, at, durationMs, links, traceId } = span
  const detail = describe(span)
  const isFailed = span.error !== null || Number(span.attributes['http.response.status_code'] ?? 0) >= 400
  const isShared = links.length > 0 || traceId !== parent.traceId
  return { service, name, depth, startMs: toMs(at) - start, durationMs, detail, isFailed, isShared, isMarker: false }
}

/**
 * Summarizes a span's attributes in a few words.
 * @param {TraceSpan} span
 */
function describe({ attributes, error }) {
  const size = Number(attributes['batch.size'] ?? 1)
  const [first, last] = [attributes['log.first'], attributes['log.last']]
  const status = Number(attributes['http.response.status_code'] ?? 200)
  return [
    attributes['recorded.place'] && `recorded in the ${attributes['recorded.place']}`,
    first !== undefined && (first === last ? `log sequence ${first}` : `log sequences ${first} to ${last}`),
    size > 1 && `batch of ${size}`,
    status !== 200 && `status ${status}`,
    error,
  ]
    .filter(Boolean)
    .join(', ')
}

/**
 * Shows where an asset's data came from if play did not call the service.
 * @param {TraceSpan} root
 * @param {TraceSpan[]} spans
 * @returns {Row[]}
 */
function cacheMarkers(root, spans) {
  const calls = spans.filter((span) => isChild(span, root)).map(({ attributes }) => attributes['peer.service'])
  const reads = Object.entries(root.attributes).filter(([name]) => name.startsWith('cache.'))
  const row = { ...toRow(root, root, toMs(root.at), 1), isFailed: false }
  return reads.flatMap(([attribute, outcome]) => {
    const service = attribute.slice('cache.'.length)
    const remark = toCacheRemark(String(outcome), calls.includes(service))
    return remark === undefined ? [] : [toMarker({ ...row, service }, remark)]
  })
}

/**
 * @param {string} outcome
 * @param {boolean} isCalled
 */
function toCacheRemark(outcome, isCalled) {
  if (outcome === 'hit') return 'cache hit: no call'
  if (outcome === 'stale') return 'from the cache, possibly out of date'
  return isCalled ? undefined : "shared another play's call"
}

/**
 * @param {Row} row
 * @param {string} name
 * @returns {Row}
 */
function toMarker(row, name) {
  return { ...row, name, durationMs: 0, detail: '', isFailed: false, isShared: false, isMarker: true }
}

/**
 * @param {TraceSpan} root
 * @param {Row[]} steps
 */
function summarizeResponse({ durationMs, attributes }, steps) {
  const [slowest] = steps.filter(({ depth }) => depth === 1).toSorted((a, b) => b.durationMs - a.durationMs)
  return [
    `Status ${attributes['http.response.status_code']} after ${formatMs(durationMs)}.`,
    ...(slowest ? [`Slowest step: ${slowest.name}, ${formatMs(slowest.durationMs)}.`] : []),
  ]
}

/**
 * @param {number | undefined} countedMs
 * @param {number} attempts
 */
function summarizeCount(countedMs, attempts) {
  if (countedMs === undefined) return attempts > 0 ? ['Not counted yet: the last attempt failed.'] : []
  return [`Counted after ${formatMs(countedMs)}.`, ...(attempts > 1 ? [`It took ${attempts} attempts.`] : [])]
}

/**
 * Parses a timestamp. Unlike `Date.parse`, this function keeps microseconds.
 * @param {string} at RFC 3339
 */
function toMs(at) {
  const [, seconds = '', fraction = '0'] = /^(.*?)(?:\.(\d+))?Z$/.exec(at) ?? []
  return Date.parse(`${seconds}Z`) + Number(`0.${fraction}`) * 1_000
}
