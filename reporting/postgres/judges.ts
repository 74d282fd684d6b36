import { z } from 'zod'
import { createJudge, type Judge } from '../rules/judge.ts'
import { isWatchRule, type Rule } from '../rules/view-rule.ts'
import type { Rows } from './database.ts'
import { toEventId } from './event-key.ts'
import type { KnownState } from './known.ts'

/** The timeout for each page. */
const TIMEOUT_MS = 4_000
/** Restoring this many events blocks the event loop for about 100 ms. */
const PAGE_ROWS = 20_000

type Run = (statements: string, timeoutMs: number) => Promise<Rows>
type Deps = { run: Run; rules: readonly Rule[] }

/**
 * The stored state after a batch, and a judge that has seen the log up to this batch. The judge is mutable: judging
 * another batch advances it.
 */
export type State = { known: KnownState; judge: Judge }

const number = z.coerce.number()
const Row = z.tuple([z.string(), z.string(), z.string(), z.string(), number, number, number, number, number])

/** How long a verdict affects later ones, in milliseconds of the log's clock. */
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
     * @param last an earlier state, whose judge may be brought up to date
     */
    async at(known: KnownState, last: State | undefined): Promise<Judge> {
      if (last && isBefore(last.known, known)) {
        const { origin, position, clock } = last.known
        if (last.known.batch === known.batch) return last.judge
        const where = `and origin = ${origin.number} and sequence > ${position?.sequence}`
        return restoreJudge(run, last.judge, { sinceClock: clock, where })
      }
      const judge = createJudge(rules)
      return known.clock === 0 ? judge : restoreJudge(run, judge, { sinceClock: known.clock - windowMs })
    },
  }
}

/**
 * The state of a judge depends only on the log up to its position, so it can continue from there to any later position.
 */
function isBefore(earlier: KnownState, { position, origin }: KnownState): boolean {
  const isSameLog = earlier.position?.incarnation === position?.incarnation && earlier.origin.number === origin.number
  return isSameLog && earlier.position !== undefined && earlier.position.sequence <= (position?.sequence ?? -1)
}

/** `where`: further conditions on the verdicts. */
type Verdicts = { sinceClock: number; where?: string; pageRows?: number }

/** Feeds the events of stored verdicts to a judge in log order. Reads them in pages, because there may be many. */
export async function restoreJudge(
  run: Run,
  judge: Judge,
  { sinceClock, where = '', pageRows = PAGE_ROWS }: Verdicts,
): Promise<Judge> {
  let [pageClock, after] = [sinceClock, '']
  for (;;) {
    const rows = await run(toQuery(pageClock, `${where} ${after}`, pageRows), TIMEOUT_MS)
    for (const row of rows) {
      const [key, id, assetId, userId, at, clock, ...position] = Row.parse(row)
      judge.restore({ event: { id: toEventId({ key, id }), assetId, userId, at }, clock })
      // The clock never goes backwards, so the next page can start at this clock.
      pageClock = clock
      after = `and (origin, sequence, index) > (${position.join(', ')})`
    }
    if (rows.length < pageRows) return judge
  }
}

/** Without statistics on a new partition, Postgres might scan all of it. */
function toQuery(sinceClock: number, where: string, limit: number): string {
  return `set local enable_seqscan = off;
    select key, event_id, asset_id, user_id, at, clock, origin, sequence, index from reporting.verdict
    where clock >= ${sinceClock} and state <> 'r' ${where} order by origin, sequence, index limit ${limit}`
}
