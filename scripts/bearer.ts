import type { Secret } from '../shared/runtime/secret.ts'

/** The header with a token, if there is one. */
export function bearer(token: Secret | undefined): Record<string, string> {
  return token ? { authorization: `Bearer ${token.reveal()}` } : {}
}
