/**
 * The header that authorizes a request; none without a token.
 * @param {string | undefined} token
 * @returns {Record<string, string>}
 */
export function bearer(token) {
  return token ? { authorization: `Bearer ${token}` } : {}
}
