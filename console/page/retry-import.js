import { sleep } from './sleep.js'

const RETRY_MS = 2_000

/**
 * Imports a module, and retries until the import succeeds.
 * @template Module
 * @param {() => Promise<Module>} load
 * @param {() => void} onFailure called after each failed attempt
 */
export async function retryImport(load, onFailure) {
  for (;;) {
    try {
      return await load()
    } catch {
      onFailure()
      await sleep(RETRY_MS)
    }
  }
}
