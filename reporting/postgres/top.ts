import { MAX_TOP } from '../../shared/contracts/view-counts.ts'
import type { CountedBy } from '../count-store.ts'

/** Above this number, the candidates are cut to the first MAX_TOP. */
export const MAX_CANDIDATES = 2 * MAX_TOP

/** Selects the ids with the most views, and their views. */
export function toTopQuery(by: CountedBy, limit: number): string {
  return `select id, views from reporting.top_candidate join reporting.${by}_views using (id)
    where by = '${by}' order by views desc, id limit ${limit}`
}

/**
 * Cuts the candidates to the first MAX_TOP. Counts only rise, so an id that was cut cannot return to the top unless its
 * own count rises. Locks the state first, so that no writer counts meanwhile.
 */
export function toCut(by: CountedBy): string {
  return `select from reporting.state for update;
    delete from reporting.top_candidate where by = '${by}'
      and id not in (select id from (${toTopQuery(by, MAX_TOP)}) as first);
    update reporting.state set ${by}_cut_views = last.views, ${by}_cut_id = last.id
      from (select id, views from (${toTopQuery(by, MAX_TOP)}) as first order by views, id desc limit 1) as last;
    update reporting.size set candidates = ${MAX_TOP} where by = '${by}'`
}
