import { randomUUID } from 'node:crypto'
import type { Play } from '../../shared/contracts/play.ts'
import { createBatcher } from '../../shared/runtime/batcher.ts'
import { raceAbort } from '../../shared/runtime/race-abort.ts'
import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import { toStepAdditions } from '../step-additions.ts'
import { toCountStatement } from './count-statement.ts'
import { ASYNCHRONOUS, type Run } from './database.ts'
import { toIdArray, toLiteral } from './literals.ts'
import { toSeriesWrites } from './series.ts'

const TIMEOUT_MS = 4_000
const MAX_CONFIRMED = 1_000
/** An arbitrary number that no other program uses for an advisory lock in the same database. */
const LOCK = 7_305_813_420_952

/** How long a receipt may wait for its confirmation. */
export const RECEIPT_SECONDS = 60

/**
 * Counts plays that are not in the log. No replay restores these counts, so each must survive any crash. Each count is
 * committed asynchronously, with a receipt. A second, synchronous transaction deletes the receipts. Each receipt
 * that it finds proves that the count was committed earlier on the same server. While the second transaction waits for
 * a standby, counting continues.
 *
 * @returns a function that counts a play and returns the columns in COUNT_COLUMNS
 */
export function createDirectCounts(run: Run): (play: Play) => Promise<readonly unknown[]> {
  const confirm = createBatcher({
    maxItems: MAX_CONFIRMED,
    budgetMs: TIMEOUT_MS,
    async run(receipts: string[], signal) {
      signal.throwIfAborted()
      const rows = await raceAbort(run(toConfirmation(receipts), TIMEOUT_MS), signal)
      return new Set(rows.map(([id]) => id))
    },
  })

  return async (play) => {
    const receipt = randomUUID()
    const at = Date.now()
    const views = [{ ...play, at }]
    const after = [
      `receipt as (insert into reporting.receipt (id) select ${toLiteral(receipt)}::uuid from moved)`,
      ...toSeriesWrites(toStepAdditions(views, at)),
    ]
    const statement = toCountStatement({ set: ['direct = direct + 1'], where: 'true', views, after })
    const [row = []] = await run(`${ASYNCHRONOUS} ${statement}`, TIMEOUT_MS)
    const confirmed = await confirm(receipt).catch((cause) => {
      throw new UnavailableError('the commit is not confirmed', { cause })
    })
    if (!confirmed.has(receipt)) throw new UnavailableError('the view was lost in a failover')
    return row
  }
}

/** The lock lets at most one backend wait for a standby, because no timeout ends that wait. */
function toConfirmation(receipts: readonly string[]): string {
  return `select pg_advisory_xact_lock(${LOCK});
    delete from reporting.receipt where id = any(${toIdArray(receipts)}::uuid[]) returning id`
}
