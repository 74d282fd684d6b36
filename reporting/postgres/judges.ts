import { z } from 'zod'
import { createJudge, type Judge } from '../rules/judge.ts'
import { isWatchRule, type Rule } from '../rules/view-rule.ts'
import type { Run } from './database.ts'
import { toEventId } from './event-key.ts'
import type { KnownState } from './known.ts'

/** The timeout for each page. */
const TIMEOUT_MS = 4_000
/** Restoring this many events blocks the event loop for about 100 ms. */
const PAGE_ROWS = 20_000
/**
 * The span of the log's clock that the first page covers, and each page after a full page. After any other page, the
 * span doubles.
 */
const FIRST_SPAN_MS = 250
/** Limits the span of a page, because later verdicts may be denser. */
const MAX_SPAN_MS = 2_000

type Deps = { run: Run; rules: readonly Rule[] }

/**
 * The stored state after a batch, and a judge that has processed the log up to this batch. The judge is mutable:
 * judging another batch advances it.
 */
export type State = { known: KnownState; judge: Judge }

const number = z.coerce.number()
const Row = z.tuple([z.string(), z.string(), z.string(), z.string(), number, number, number, number, number])

/** How long a verdict affects later verdicts, in milliseconds of the log's clock. */
export function windowOf(rules: readonly Rule[]): number {
  return Math.max(0, ...rules.map((rule) => (isWatchRule(rule) ? 0 : rule.windowMs)))
}

/**
 * Brings judges up to date with the stored verdicts. If another batch is committed in the meantime, a judge may have
 * the wrong state, but then the batch that it judges cannot be committed.
 */
export function createJudges({ run, rules }: Deps) {
  const windowMs = windowOf(rules)

  return {
    /**
     * Returns a judge for the next batch after `known`.
     * @param last an earlier state; if possible, its judge is brought up to date and reused
     */
    async at(known: KnownState, last: State | undefined): Promise<Judge> {
      const range = { fromClock: known.clock - windowMs, throughClock: known.clock }
      if (last && isBefore(last.known, known)) {
        const { origin, position, clock } = last.known
        if (last.known.batch === known.batch) return last.judge
        const where = `and origin = ${origin.number} and sequence > ${position?.sequence}`
        return restoreJudge(run, last.judge, { ...range, fromClock: Math.max(clock, range.fromClock), where })
      }
      const judge = createJudge(rules)
      return known.clock === 0 ? judge : restoreJudge(run, judge, range)
    },
  }
}

/**
 * A judge's state depends only on the log up to its position, so the judge can continue from there to any later
 * position.
 */
function isBefore(earlier: KnownState, { position, origin }: KnownState): boolean {
  const isSameLog = earlier.position?.incarnation === position?.incarnation && earlier.origin.number === origin.number
  return isSameLog && earlier.position !== undefined && earlier.position.sequence <= (position?.sequence ?? -1)
}

/** The verdicts to restore. The range includes both ends. `where`: further conditions on the verdicts. */
type Verdicts = { fromClock: number; throughClock: number; where?: string; pageRows?: number }

/**
 * Feeds the events of stored verdicts to a judge in log order. There may be millions of verdicts, so they are read in
 * pages. Each page covers a short span of the log's clock, because Postgres sorts all rows in the span, however few of
 * them fit into the page.
 */
export async function restoreJudge(
  run: Run,
  judge: Judge,
  { fromClock, throughClock, where = '', pageRows = PAGE_ROWS }: Verdicts,
): Promise<Judge> {
  let after = ''
  for (let [from, spanMs] = [fromClock, FIRST_SPAN_MS]; from <= throughClock; ) {
    const rows = await run(toQuery([from, from + spanMs], `${where} ${after}`, pageRows), TIMEOUT_MS)
    from += spanMs
    for (const row of rows) {
      const [key, id, assetId, userId, at, clock, ...position] = Row.parse(row)
      judge.restore({ event: { id: toEventId({ key, id }), assetId, userId, at }, clock })
      after = `and (origin, sequence, index) > (${position.join(', ')})`
      // The clock never goes backwards, so the page after a full page can start at this row's clock.
      if (rows.length === pageRows) from = clock
    }
    spanMs = rows.length === pageRows ? FIRST_SPAN_MS : Math.min(2 * spanMs, MAX_SPAN_MS)
  }
  return judge
}

/**
 * Selects verdicts in the span [from, to) of the log's clock. Disables sequential scans, because Postgres might
 * otherwise scan a whole partition that has no statistics yet.
 */
function toQuery([from, to]: readonly [number, number], where: string, limit: number): string {
  return `set local enable_seqscan = off;
    select key, event_id, asset_id, user_id, at, clock, origin, sequence, index from reporting.verdict
    where clock >= ${from} and clock < ${to} and state <> 'r' ${where} order by origin, sequence, index limit ${limit}`
}
