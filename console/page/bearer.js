/**
 * A request's authorization header; empty without a token.
 * @param {string | undefined} token
 * @returns {Record<string, string>}
 */
export function bearer(token) {
  return token ? { authorization: `Bearer ${token}` } : {}
}
