/**
 * The authorization header of a request; empty without a token.
 * @param {string | undefined} token
 * @returns {Record<string, string>}
 */
export function bearer(token) {
  return token ? { authorization: `Bearer ${token}` } : {}
}
