import type { CountStore, LogReport } from '../count-store.ts'
import { createDelegatingStore } from './delegating-store.ts'

/**
 * A store whose counts were loaded from a checkpoint. The first batch or report shows whether the counts belong to the
 * current log. If they do not, `startOver` opens an empty store that replaces the loaded one, so that counts from two
 * logs are never mixed.
 */
export function createVerifiedStore(
  loaded: CountStore,
  incarnation: string,
  startOver: (found: string) => Promise<CountStore>,
): CountStore {
  let verified: Promise<CountStore> | undefined
  let store = loaded

  async function verify(found: string): Promise<CountStore> {
    if (found !== incarnation) store = await startOver(found)
    return store
  }

  function forReport(report: LogReport): Promise<CountStore> {
    verified ??= verify(report.incarnation)
    return verified
  }

  return createDelegatingStore({ current: () => store, forReport })
}
