/**
 * A string in browser storage. If the browser denies access to storage, nothing is stored.
 * @param {() => Storage} storage a function, because reading `localStorage` may throw
 * @param {string} key
 */
export function createStoredText(storage, key) {
  return {
    /** Returns null if nothing is stored. */
    load() {
      try {
        return storage().getItem(key)
      } catch {
        return null
      }
    },
    /** @param {string} text */
    save(text) {
      try {
        storage().setItem(key, text)
      } catch {}
    },
  }
}
