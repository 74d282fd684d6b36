/**
 * A text in the storage of the browser. Browsers may deny access to storage; the text is then not kept.
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
