import { randomHex } from '../random-hex.js'

/** A random `Idempotency-Key`. */
export function createKey() {
  return `"${randomHex(16)}"`
}

/**
 * The keys to send with plays. A play without a response may have been recorded, so the next press retries it with the
 * same key.
 */
export function createKeys() {
  /** @type {Map<string, string>} */
  const unanswered = new Map()
  return {
    /** @param {string} path */
    of: (path) => unanswered.get(path) ?? createKey(),
    /**
     * @param {string} path
     * @param {string} key
     * @param {number} status 0 if there was no response
     */
    settle(path, key, status) {
      if (status === 0 || status >= 500) unanswered.set(path, key)
      else unanswered.delete(path)
    },
  }
}
