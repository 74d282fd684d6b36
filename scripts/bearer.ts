import type { Secret } from '../shared/runtime/secret.ts'

/** The `authorization` header for a token; no headers without one. */
export function bearer(token: Secret | undefined): Record<string, string> {
  return token ? { authorization: `Bearer ${token.reveal()}` } : {}
}
