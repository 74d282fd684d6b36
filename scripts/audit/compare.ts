import { type Audit, accountedViews } from '../../shared/contracts/audit.ts'
import type { createRecount, Numbers, Verdict } from './recount.ts'
import type { ReportingReader } from './reporting.ts'

const IDS_PER_LOOKUP = 1_000
const EXPLAIN_CONCURRENCY = 16
/** Above this number, an asset's viewer count may be an estimate. */
const MAX_EXACT_VIEWERS = 1_000
const MAX_ESTIMATE_ERROR = 0.04
export const NONE: Numbers = { views: 0, qualified: 0, watchedMs: 0 }

type Recount = Pick<ReturnType<typeof createRecount>, 'totals' | 'assets' | 'users' | 'days' | 'assetDays' | 'viewers'>

export type Comparison = {
  recount: Recount
  /** Continues the recount up to reporting's current position. */
  catchUp: () => Promise<void>
  /** The number of views that are not in the log. */
  extra: number
}

/** One line for each difference. */
export type Differences = string[]

/** Compares only the number of views, including views that a release without view rules counted. */
export function compareViews({ views, direct }: Audit, { totals }: Pick<Recount, 'totals'>): Differences {
  return compare('views', views, totals.views + direct)
}

/** Compares one snapshot's totals with the log's totals up to the same position. */
export function compareTotals(audit: Audit, { totals }: Recount): Differences {
  const { direct, pending } = audit
  const reasons = new Set([...totals.notQualified.keys(), ...Object.keys(audit.notQualified)])
  return [
    ...compare('the sum of qualified, pending, notQualified and direct', accountedViews(audit), audit.views),
    ...compare('views', audit.views, totals.views + direct),
    ...compare('qualified', audit.qualified, totals.qualified),
    ...compare('pending', pending, totals.pending),
    ...[...reasons].flatMap((reason) =>
      compare(`notQualified.${reason}`, audit.notQualified[reason] ?? 0, totals.notQualified.get(reason) ?? 0),
    ),
    ...compare('retried', audit.retried, totals.retried),
    ...compare('rejected', audit.rejected, totals.rejected),
  ]
}

/**
 * Compares the counts of every asset and user. Reporting keeps counting, so each of its counts must lie between the
 * log's counts before and after the lookup.
 */
export async function compareCounts(
  reporting: Pick<ReportingReader, 'lookUp'>,
  { recount, catchUp, extra }: Comparison,
): Promise<Differences> {
  const differences: Differences = []
  for (const [kind, numbers] of [
    ['assets', recount.assets],
    ['users', recount.users],
  ] as const) {
    for (const ids of chunks([...numbers.keys()])) {
      const before = ids.map((id) => numbersOf(recount, kind, id))
      const found = await reporting.lookUp({ [kind]: ids })
      await catchUp()
      ids.forEach((id, n) => {
        const after = numbersOf(recount, kind, id)
        const name = `${kind === 'assets' ? 'asset' : 'user'} ${id}`
        const { views, qualified, viewers } = before[n] ?? after
        differences.push(
          ...within(`${name}: views`, found[kind][id], views, after.views + extra),
          ...within(`${name}: qualified`, found.qualified?.[kind][id], qualified, after.qualified),
          ...(kind === 'assets' ? compareViewers(name, found.viewers?.[id], viewers, after.viewers) : []),
        )
      })
    }
  }
  return differences
}

/**
 * Compares verdicts one by one, and skips those that reporting no longer has. If a verdict differs, lets the recount
 * catch up and compares the verdict again, because a pending verdict may have changed.
 */
export async function compareVerdicts(
  reporting: Pick<ReportingReader, 'explain'>,
  verdicts: readonly Verdict[],
  catchUp: () => Promise<void>,
): Promise<{ differences: Differences; compared: number }> {
  const differences: Differences = []
  let compared = 0
  const queue = new Map(verdicts.map((verdict) => [verdict.id, verdict])).values()
  async function work(): Promise<void> {
    for (const verdict of queue) {
      const before = describeVerdict(verdict)
      const found = await reporting.explain(verdict.id)
      if (!found) continue
      compared += 1
      const because = found.because?.id ?? null
      const actual = describeVerdict({ ...found, because, sequence: found.position?.sequence })
      if (actual === before) continue
      await catchUp()
      const expected = describeVerdict(verdict)
      if (actual !== expected) differences.push(`view ${verdict.id} is ${actual}; the log says ${expected}`)
    }
  }
  await Promise.all(Array.from({ length: EXPLAIN_CONCURRENCY }, work))
  return { differences, compared }
}

type Described = { verdict: string | null; reason: string | null; because: string | null; sequence: number | undefined }

function describeVerdict({ verdict, reason, because, sequence }: Described): string {
  return `${verdict} ${reason} because of ${because} at ${sequence}`
}

function numbersOf(
  { viewers, ...recount }: Recount,
  kind: 'assets' | 'users',
  id: string,
): Numbers & { viewers: number } {
  return { ...(recount[kind].get(id) ?? NONE), viewers: viewers.get(id)?.size ?? 0 }
}

function compareViewers(name: string, found: number | undefined, from: number, to: number): Differences {
  const error = to > MAX_EXACT_VIEWERS ? MAX_ESTIMATE_ERROR : 0
  return within(`${name}: viewers`, found, from * (1 - error), to * (1 + error))
}

function compare(name: string, found: number, expected: number): Differences {
  return found === expected ? [] : [`${name}: reporting has ${found}, the log has ${expected}`]
}

/** Returns a difference unless `found` lies between `from` and `to`, the log's values before and after the lookup. */
export function within(name: string, found: number | undefined, from: number, to: number): Differences {
  if (found !== undefined && found >= from && found <= to) return []
  return [`${name}: reporting has ${found}, the log has ${from === to ? from : `${from} to ${to}`}`]
}

function* chunks(ids: string[]): Generator<string[]> {
  for (let start = 0; start < ids.length; start += IDS_PER_LOOKUP) yield ids.slice(start, start + IDS_PER_LOOKUP)
}
