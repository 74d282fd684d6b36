import type { Secret } from '../shared/runtime/secret.ts'

/** Returns the `authorization` header for a token, or no headers if there is no token. */
export function bearer(token: Secret | undefined): Record<string, string> {
  return token ? { authorization: `Bearer ${token.reveal()}` } : {}
}
