import { UnavailableError } from '../../shared/runtime/unavailable-error.ts'
import type { CountStore } from '../count-store.ts'
import { createDelegatingStore } from './delegating-store.ts'

/**
 * A store that is unavailable, and has no id, until `loading` resolves to another store. It then delegates to that
 * store.
 */
export function createLoadingStore(loading: Promise<CountStore>): CountStore & { loaded: Promise<void> } {
  let store: CountStore | undefined

  async function load(): Promise<void> {
    store = await loading
  }

  function use(): CountStore {
    if (!store) throw new UnavailableError('the counts are being loaded')
    return store
  }

  return { ...createDelegatingStore({ current: use }), loaded: load(), id: () => store?.id() }
}
