import { z } from 'zod'
import { createJudge, type Judge } from '../rules/judge.ts'
import { isWatchRule, type Rule } from '../rules/view-rule.ts'
import type { Rows } from './database.ts'
import { toEventId } from './event-key.ts'
import type { Known } from './known.ts'

const TIMEOUT_MS = 4_000

type Deps = { run: (statements: string, timeoutMs: number) => Promise<Rows>; rules: readonly Rule[] }

/**
 * What is known after a batch, and a judge that has seen the log up to this batch. The judge is mutable: judging another
 * batch advances it.
 */
export type State = { known: Known; judge: Judge }

const Row = z.tuple([z.string(), z.string(), z.string(), z.string(), z.coerce.number(), z.coerce.number()])

/** How long a verdict affects later ones, in milliseconds of the log's clock. */
export function windowOf(rules: readonly Rule[]): number {
  return Math.max(0, ...rules.map((rule) => (isWatchRule(rule) ? 0 : rule.windowMs)))
}

/**
 * Brings judges up to date from the verdicts. If another batch is committed meanwhile, the state of the judge may be
 * wrong, but then the batch that it judges cannot be committed.
 */
export function createJudges({ run, rules }: Deps) {
  const windowMs = windowOf(rules)

  async function restore(judge: Judge, sinceClock: number, where: string): Promise<Judge> {
    for (const row of await run(toQuery(sinceClock, where), TIMEOUT_MS)) {
      const [key, id, assetId, userId, at, clock] = Row.parse(row)
      judge.restore({ event: { id: toEventId({ key, id }), assetId, userId, at }, clock })
    }
    return judge
  }

  return {
    /**
     * Returns a judge for the next batch after `known`.
     * @param last an earlier state, whose judge may be brought up to date
     */
    async at(known: Known, last: State | undefined): Promise<Judge> {
      if (last && isBefore(last.known, known)) {
        const { origin, position, clock } = last.known
        if (last.known.batch === known.batch) return last.judge
        return restore(last.judge, clock, `and origin = ${origin.number} and sequence > ${position?.sequence}`)
      }
      const judge = createJudge(rules)
      return known.clock === 0 ? judge : restore(judge, known.clock - windowMs, '')
    },
  }
}

/**
 * The state of a judge depends only on the log up to its position: it can continue from there to any later position.
 */
function isBefore(earlier: Known, { position, origin }: Known): boolean {
  const isSameLog = earlier.position?.incarnation === position?.incarnation && earlier.origin.number === origin.number
  return isSameLog && earlier.position !== undefined && earlier.position.sequence <= (position?.sequence ?? -1)
}

/** Without statistics of a new partition, Postgres may prefer to read all of it. */
function toQuery(sinceClock: number, where: string): string {
  return `set local enable_seqscan = off;
    select key, event_id, asset_id, user_id, at, clock from reporting.verdict
    where clock >= ${sinceClock} and state <> 'r' ${where} order by origin, sequence, index`
}
