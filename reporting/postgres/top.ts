import { MAX_TOP, type RankedBy } from '../../shared/contracts/view-counts.ts'
import type { CountedBy } from '../count-store.ts'

/** Identifies a top list. */
export type Ranking = { by: CountedBy; of: RankedBy }

export const RANKINGS: readonly Ranking[] = (['asset', 'user'] as const).flatMap((by) =>
  (['views', 'qualified'] as const).map((of) => ({ by, of })),
)

/** Above this number, the candidates are cut to the first MAX_TOP. */
export const MAX_CANDIDATES = 2 * MAX_TOP

/** The columns with an asset's or user's counts. */
export function countColumns(by: CountedBy): string {
  return by === 'asset' ? 'views, qualified, viewers' : 'views, qualified'
}

/** The columns of the table `state` with the count and the id of the last entry that the previous cut kept. */
export function cutColumns({ by, of }: Ranking): { number: string; id: string } {
  return { number: `${by}_cut_${of}`, id: of === 'views' ? `${by}_cut_id` : `${by}_cut_${of}_id` }
}

/** The column of the table `size` with the number of candidates. */
export function candidatesColumn(of: RankedBy): string {
  return of === 'views' ? 'candidates' : `${of}_candidates`
}

/** Selects the first ids of a top list, with their counts. */
export function toTopQuery({ by, of }: Ranking, limit: number): string {
  return `select id, ${countColumns(by)} from reporting.top_candidate join reporting.${by}_views using (id)
    where by = '${by}' and of = '${of}' order by ${of} desc, id limit ${limit}`
}

/**
 * Cuts the candidates to the first MAX_TOP. Counts only rise, so an id that was cut cannot return to the top unless its
 * own count rises. Locks the state first, so that nothing is counted in the meantime.
 */
export function toCut({ by, of }: Ranking): string {
  const first = toTopQuery({ by, of }, MAX_TOP)
  const cut = cutColumns({ by, of })
  return `select from reporting.state for update;
    delete from reporting.top_candidate where by = '${by}' and of = '${of}'
      and id not in (select id from (${first}) as first);
    update reporting.state set ${cut.number} = last.${of}, ${cut.id} = last.id
      from (select id, ${of} from (${first}) as first order by ${of}, id desc limit 1) as last;
    update reporting.size set ${candidatesColumn(of)} = ${MAX_TOP} where by = '${by}'`
}
