import { describe, expect, test } from 'vitest'
import type { SeriesRange } from '../series.ts'
import type { StepAddition } from '../step-additions.ts'
import { decode, encode } from './checkpoint-bytes.test-suite.ts'
import { createCountState } from './count-state.ts'
import { createSeriesMap, type SeriesMap } from './series-map.ts'

const HOUR = 3_600_000
const START = Date.parse('2026-11-20T00:00:00Z')
const MAX = 4

describe('more per-asset counts than the maximum', () => {
  test('evict the oldest hours, and the series reports a later start', () => {
    const series = createSeriesMap({ max: MAX })
    const assets = [['a', 'b'], ['a', 'c'], ['b'], ['a']]
    for (const [hour, ids] of assets.entries()) series.add([hourOf(hour, ids)], START + hour * HOUR)
    expect(viewsOf(series, 'a')).toEqual({ since: START + HOUR, views: [0, 1, 0, 1] })
    expect(viewsOf(series, 'b')).toEqual({ since: START + HOUR, views: [0, 0, 1, 0] })
  })

  test('do not evict the series for all assets together', () => {
    const series = createSeriesMap({ max: MAX })
    for (let hour = 0; hour < 4; hour += 1) series.add([hourOf(hour, ['a', 'b'])], START + hour * HOUR)
    expect(viewsOf(series)).toEqual({ since: START - 35 * 24 * HOUR + 3 * HOUR, views: [2, 2, 2, 2] })
  })

  test('in a single hour evict that hour, but the next hour is complete', () => {
    const series = createSeriesMap({ max: MAX })
    series.add([hourOf(0, ['a', 'b', 'c', 'd', 'e'])], START)
    series.add([hourOf(0, ['a'])], START)
    series.add([hourOf(1, ['a'])], START + HOUR)
    expect(viewsOf(series, 'a')).toEqual({ since: START + HOUR, views: [0, 1, 0, 0] })
  })

  test('evict the oldest hours permanently, even if late views arrive', () => {
    const series = createSeriesMap({ max: MAX })
    series.add([hourOf(0, ['a']), hourOf(1, ['a', 'b', 'c', 'd'])], START + HOUR)
    series.add([hourOf(0, ['a'])], START + HOUR)
    expect(viewsOf(series, 'a')).toEqual({ since: START + HOUR, views: [0, 1, 0, 0] })
  })
})

test('a checkpoint contains the series, and records which hours were evicted', async () => {
  const kept = { verdicts: 10, keys: 10, series: MAX }
  const state = createCountState({ kept })
  state.series.add([hourOf(0, ['a', 'b', 'c']), hourOf(1, ['a', 'd'])], START + HOUR)
  const { series } = await decode(await encode(state), { kept })
  expect(viewsOf(series).views).toEqual([3, 2, 0, 0])
  expect(viewsOf(series, 'd')).toEqual({ since: START + HOUR, views: [0, 1, 0, 0] })
  series.add([hourOf(0, ['a'])], START + HOUR)
  expect(viewsOf(series, 'a')).toEqual({ since: START + HOUR, views: [0, 1, 0, 0] })
})

test('expired hours take no memory', () => {
  const series = createSeriesMap({ max: 100 })
  for (const hour of [0, 1, 35 * 24 + 1]) series.add([hourOf(hour, ['a'])], START + hour * HOUR)
  expect(series.freeze().steps.map(({ at }) => (at - START) / HOUR)).toEqual([1, 35 * 24 + 1])
})

test('frozen series do not change', () => {
  const series = createSeriesMap({ max: 100 })
  series.add([hourOf(0, ['a'])], START)
  const [frozen] = series.freeze().steps
  series.add([hourOf(0, ['a', 'b'])], START)
  expect(frozen).toMatchObject({ total: { views: 1 }, assets: { size: 1, numbers: new Float64Array([1, 0]) } })
  expect(viewsOf(series, 'a').views).toEqual([2, 0, 0, 0])
  const [later] = series.freeze().steps
  expect(later).toMatchObject({ total: { views: 3 }, assets: { size: 2, numbers: new Float64Array([2, 0, 1, 0]) } })
})

function hourOf(hour: number, assets: string[]): StepAddition {
  const count = { views: 1, qualified: 0 }
  return {
    step: 'hour',
    at: START + hour * HOUR,
    total: { ...count, views: assets.length },
    assets: new Map(assets.map((id) => [id, count])),
  }
}

/** The views in four hours. */
function viewsOf(series: SeriesMap, assetId?: string) {
  const range: SeriesRange = { step: 'hour', assetId, from: START, to: START + 4 * HOUR }
  const { since, counts } = series.read(range)
  return { since, views: Array.from({ length: 4 }, (_, hour) => counts.get(START + hour * HOUR)?.views ?? 0) }
}
