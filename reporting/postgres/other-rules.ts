import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import type { Database } from './database.ts'

const TIMEOUT_MS = 1_000

/** The views in the database were judged by other view rules. Verdicts from different rules must not be mixed. */
export class OtherRulesError extends UnavailableError {
  override name = 'OtherRulesError'
  constructor(found: string, rules: string) {
    super(
      `the views in the database were judged by the view rules ${found}, but this process uses ${rules}: give each version a database of its own (npm run counts -- recount)`,
    )
  }
}

/** @throws OtherRulesError if views were judged by other rules */
export async function assertRules(database: Pick<Database, 'run'>, rules: string): Promise<void> {
  const [[found] = []] = await database.run(
    'select rules from reporting.verdict_origin order by origin desc limit 1',
    TIMEOUT_MS,
  )
  if (found !== undefined && found !== rules) throw new OtherRulesError(String(found), rules)
}
