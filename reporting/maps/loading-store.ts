import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import type { CountStore } from '../count-store.ts'

/** A store that is unavailable, and has no id, until another one is loaded. It then is that other one. */
export function createLoadingStore(loading: Promise<CountStore>): CountStore & { loaded: Promise<void> } {
  let store: CountStore | undefined

  async function load(): Promise<void> {
    store = await loading
  }

  function use(): CountStore {
    if (!store) throw new UnavailableError('the counts are being loaded')
    return store
  }

  return {
    loaded: load(),
    id: () => store?.id(),
    views: async (by, id) => use().views(by, id),
    lookUp: async (ids) => use().lookUp(ids),
    top: async (by, limit) => use().top(by, limit),
    size: async (by) => use().size(by),
    count: async (play) => use().count(play),
    position: async () => use().position(),
    apply: async (batch) => use().apply(batch),
    report: async (report) => use().report(report),
    lost: async () => use().lost(),
    follow: (publish) => use().follow(publish),
  }
}
