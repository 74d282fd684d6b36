import { z } from 'zod'
import { createJudge, type Judge } from '../rules/judge.ts'
import type { ViewRule } from '../rules/view-rule.ts'
import type { Rows } from './database.ts'
import { toEventId } from './event-key.ts'
import type { Known } from './known.ts'

const TIMEOUT_MS = 4_000

type Deps = { run: (statements: string, timeoutMs: number) => Promise<Rows>; rules: readonly ViewRule[] }

const Row = z.tuple([z.string(), z.string(), z.string(), z.string(), z.coerce.number(), z.coerce.number()])

/** How long a verdict concerns later ones, in milliseconds of the log's clock. */
export function windowOf(rules: readonly ViewRule[]): number {
  return Math.max(0, ...rules.map(({ windowMs }) => windowMs))
}

/** Restores judges from the verdicts that may still concern later ones. */
export function createJudges({ run, rules }: Deps) {
  const windowMs = windowOf(rules)

  return {
    /**
     * Returns a judge of the batch after `known`. If another batch is committed meanwhile, its state may be wrong, and
     * the batch that it judges cannot be committed.
     */
    async restore({ clock }: Known): Promise<Judge> {
      const judge = createJudge(rules)
      const rows = clock === 0 ? [] : await run(toQuery(clock - windowMs), TIMEOUT_MS)
      for (const row of rows) {
        const [key, id, assetId, userId, at, clock] = Row.parse(row)
        judge.restore({ event: { id: toEventId({ key, id }), assetId, userId, at }, clock })
      }
      return judge
    },
  }
}

/** Without statistics of a new partition, Postgres may prefer to read all of it. */
function toQuery(since: number): string {
  return `set local enable_seqscan = off;
    select key, event_id, asset_id, user_id, at, clock from reporting.verdict
    where clock >= ${since} and state <> 'r' order by origin, sequence, index`
}
