import type { SeriesStep } from '../shared/contracts/series.ts'
import type { Verdict } from '../shared/contracts/view-explanation.ts'
import { keptSince, type StepCount, startOf } from './series.ts'

/** Views to add to the step that starts at `at`, in milliseconds since 1970. `assets` is empty for minutes. */
export type StepAddition = {
  step: SeriesStep
  at: number
  total: Readonly<StepCount>
  assets: ReadonlyMap<string, Readonly<StepCount>>
}

/**
 * A view that was played at `at`. A view that is not in the log has no verdict. `views` is the number of views to add:
 * 1 by default, and 0 if a view that was added earlier now qualifies.
 */
export type TimedView = { assetId: string; at: number; verdict?: Verdict | undefined; views?: number }

type Counts = Map<string, StepCount>

/**
 * Returns what a batch adds to the series.
 * @param clock the log's clock after the batch. Steps that are no longer kept at that time are left out.
 */
export function toStepAdditions(views: readonly TimedView[], clock: number): StepAddition[] {
  const hours = toSteps('hour', views, ({ assetId }) => assetId)
  const additions = [
    ...toAdditions(
      'minute',
      toSteps('minute', views, () => ''),
    ).map((minute) => ({ ...minute, assets: new Map() })),
    ...toAdditions('hour', hours),
    ...toAdditions('day', toDays(hours)),
  ]
  return additions.filter(({ step, at }) => at >= keptSince(step, clock))
}

/** Counts views by step and key. Remembers the last step, because consecutive views mostly belong to the same step. */
function toSteps(step: SeriesStep, views: readonly TimedView[], keyOf: (view: TimedView) => string) {
  const steps = new Map<number, Counts>()
  let start = Number.NaN
  let counts: Counts = new Map()
  for (const view of views) {
    const at = startOf(step, view.at)
    if (at !== start) {
      counts = steps.getOrInsertComputed(at, () => new Map())
      start = at
    }
    add(counts, keyOf(view), view.views ?? 1, view.verdict === 'qualified' ? 1 : 0)
  }
  return steps
}

function toDays(hours: ReadonlyMap<number, Counts>): Map<number, Counts> {
  const days = Map.groupBy(hours, ([hour]) => startOf('day', hour))
  return new Map(Array.from(days, ([day, own]) => [day, sum(own.map(([, counts]) => counts))]))
}

/** Sums a day's hourly counts. Most batches have views from a single hour, and need no summing. */
function sum(all: Counts[]): Counts {
  const [first = new Map()] = all
  if (all.length === 1) return first
  const counts: Counts = new Map()
  for (const some of all) for (const [id, { views, qualified }] of some) add(counts, id, views, qualified)
  return counts
}

function add(counts: Counts, id: string, views: number, qualified: number): void {
  const count = counts.get(id)
  if (count === undefined) counts.set(id, { views, qualified })
  else {
    count.views += views
    count.qualified += qualified
  }
}

function toAdditions(step: SeriesStep, steps: ReadonlyMap<number, Counts>): StepAddition[] {
  return Array.from(steps, ([at, assets]) => ({ step, at, total: totalOf(assets), assets }))
}

function totalOf(counts: Counts): StepCount {
  const total = { views: 0, qualified: 0 }
  for (const { views, qualified } of counts.values()) {
    total.views += views
    total.qualified += qualified
  }
  return total
}
