import { MAX_POINTS, type SeriesPoint } from '../../shared/contracts/series.ts'
import { type Comparison, type Differences, NONE, within } from './compare.ts'
import type { Numbers } from './recount.ts'
import type { ReportingReader } from './reporting.ts'

const DAY_MS = 86_400_000
const ASSET_CONCURRENCY = 16

/** Compares the views per day. As in compareCounts, each count must lie between two of the log's counts. */
export async function compareDays(
  reporting: Pick<ReportingReader, 'days'>,
  { recount, catchUp, extra }: Comparison,
): Promise<Differences> {
  const differences: Differences = []
  for (const day of [...recount.days.keys()].toSorted((a, b) => a - b)) {
    const before = { ...(recount.days.get(day) ?? NONE) }
    const { points } = await reporting.days(toTime(day), toTime(day + DAY_MS))
    await catchUp()
    const after = recount.days.get(day) ?? NONE
    differences.push(...compareDay(toName(day), points[0], { before, after, extra }))
  }
  return differences
}

/**
 * Compares each asset's daily views in reporting with those in the recount, for the days that reporting keeps. If an
 * asset differs, lets the recount catch up and compares the asset again, because reporting may have counted more.
 */
export async function compareAssetDays(
  reporting: Pick<ReportingReader, 'days'>,
  { recount, catchUp, extra }: Comparison,
): Promise<Differences> {
  const differences: Differences = []
  const queue = new Map(recount.assetDays).entries()
  async function work(): Promise<void> {
    for (const [asset, days] of queue) {
      const before = new Map([...days].map(([day, numbers]) => [day, { ...numbers }]))
      const last = Math.max(...before.keys())
      const first = Math.max(Math.min(...before.keys()), last - (MAX_POINTS - 1) * DAY_MS)
      const { since, points } = await reporting.days(toTime(first), toTime(last + DAY_MS), asset)
      const found = new Map(points.map((point) => [Date.parse(point.at), point]))
      const kept = Math.max(first, since === null ? 0 : Date.parse(since))
      const compareAll = () =>
        [...before].flatMap(([day, numbers]) => {
          const range = { before: numbers, after: days.get(day) ?? NONE, extra }
          return day < kept ? [] : compareDay(`asset ${asset}, ${toName(day)}`, found.get(day), range)
        })
      if (compareAll().length === 0) continue
      await catchUp()
      differences.push(...compareAll())
    }
  }
  await Promise.all(Array.from({ length: ASSET_CONCURRENCY }, work))
  return differences
}

type Range = { before: Numbers; after: Numbers; extra: number }

function compareDay(name: string, point: SeriesPoint | undefined, { before, after, extra }: Range): Differences {
  const watched = point?.secondsWatched
  return [
    ...within(`${name}: views`, point?.views, before.views, after.views + extra),
    ...within(`${name}: qualified`, point?.qualified, before.qualified, after.qualified),
    ...(watched === undefined
      ? []
      : within(`${name}: watched ms`, Math.round(watched * 1_000), before.watchedMs, after.watchedMs)),
  ]
}

function toName(day: number): string {
  return `day ${toTime(day).slice(0, 10)}`
}

function toTime(ms: number): string {
  return new Date(ms).toISOString()
}
