import { SeriesStep } from '../../shared/contracts/series.ts'
import {
  keptSince,
  type SeriesCounts,
  type SeriesRange,
  STEP_MS,
  type StepCount,
  startsIn,
  toSince,
} from '../series.ts'
import type { StepAddition } from '../step-additions.ts'
import { createStepCounts, type FrozenCounts, type StepCounts, toCounts } from './step-counts.ts'

/** The start of the first hour, and of the first day, with per-asset counts. Earlier counts were dropped. */
export type SeriesSince = Partial<Record<SeriesStep, number>>

type FrozenStep = { step: SeriesStep; at: number; total: StepCount; assets: FrozenCounts | undefined }

/** A snapshot of the series, taken while counting continues. */
export type FrozenSeries = { since: SeriesSince; steps: FrozenStep[] }

export type SeriesMap = {
  /**
   * Adds views, and drops the steps that are no longer kept.
   * @param now the log's clock, or the time of views that are not in the log
   */
  add(additions: Iterable<StepAddition>, now: number): void
  read(range: SeriesRange): SeriesCounts
  /** Freezes the series in a few milliseconds, because per-asset counts are copied only when they change. */
  freeze(): FrozenSeries
}

type Options = {
  /**
   * Maximum number of hourly per-asset counts, and separately of daily ones. If there are more, the oldest hours or
   * days are dropped.
   */
  max: number
  since?: SeriesSince
}

/** The views over time. */
export function createSeriesMap({ max, since = {} }: Options): SeriesMap {
  const createTable = (step: SeriesStep) => createStepTable(step, { max, since: since[step] })
  const tables = { minute: createTable('minute'), hour: createTable('hour'), day: createTable('day') }
  let clock = 0

  return {
    add(additions, now) {
      clock = Math.max(clock, now)
      for (const addition of additions) {
        if (addition.step === 'minute') clock = Math.max(clock, addition.at)
        tables[addition.step].add(addition)
      }
      for (const step of SeriesStep.options) tables[step].dropOld(clock)
    },
    read: (range) => tables[range.step].read(range, clock),
    freeze() {
      const sinceEntries = SeriesStep.options.flatMap((step) => {
        const time = tables[step].since()
        return time === undefined ? [] : [[step, time]]
      })
      return {
        since: Object.fromEntries(sinceEntries),
        steps: SeriesStep.options.flatMap((step) => tables[step].freeze()),
      }
    },
  }
}

/** Returns the counts in frozen series, so that another map can add them. */
export function* thawSteps({ steps }: FrozenSeries): Generator<StepAddition> {
  for (const { step, at, total, assets } of steps) yield { step, at, total, assets: toCounts(assets) }
}

/** The counts for all minutes, all hours, or all days. */
function createStepTable(step: SeriesStep, options: { max: number; since: number | undefined }) {
  const totals = new Map<number, StepCount>()
  const assets: StepCounts = createStepCounts({ ...options, stepMs: STEP_MS[step] })
  let droppedBefore = Number.NEGATIVE_INFINITY

  function dropBefore(time: number): void {
    if (time <= droppedBefore) return
    droppedBefore = time
    for (const at of totals.keys()) {
      if (at >= time) continue
      totals.delete(at)
      assets.drop(at)
    }
  }

  return {
    add(addition: StepAddition): void {
      const { at, total } = addition
      const { views, qualified } = totals.get(at) ?? { views: 0, qualified: 0 }
      totals.set(at, { views: views + total.views, qualified: qualified + total.qualified })
      assets.add(at, addition.assets)
    },
    dropOld(clock: number): void {
      dropBefore(keptSince(step, clock))
      assets.dropExcess()
    },
    read({ assetId, ...range }: SeriesRange, clock: number): SeriesCounts {
      const find = (at: number) => (assetId === undefined ? totals.get(at) : assets.get(at, assetId))
      const counts = startsIn(range).flatMap((at): [number, StepCount][] => {
        const count = find(at)
        return count ? [[at, count]] : []
      })
      const storedSince = assetId === undefined ? undefined : assets.since()
      return { since: toSince(step, clock, storedSince), counts: new Map(counts) }
    },
    since: assets.since,
    freeze(): FrozenStep[] {
      return Array.from(totals, ([at, total]) => ({ step, at, total, assets: assets.freeze(at) }))
    },
  }
}
