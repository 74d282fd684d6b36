import { z } from 'zod'
import { type Secret, toSecret } from '../runtime/secret.ts'
import { optionalSecret, secretMeta } from '../runtime/secret-settings.ts'
import { optionalCount, optionalFile } from '../runtime/settings.ts'
import { isCredsFile, isUserSeed } from './credentials.ts'

const FORM = 'must be NATS servers, separated by commas, such as nats://127.0.0.1:4222'
const SERVER = /^((nats|tls):\/\/)?([^\s/@]+@)?(\[[\da-f:]+\]|[^\s/:@[\]]+)(:\d+)?$/i

/**
 * Comma-separated NATS servers. As in URLs, credentials (`user:password@` or `token@`) may precede the host. They are
 * never printed.
 */
export const natsUrl = z
  .string({ error: FORM })
  .transform((text) => text.split(',').map((part) => part.trim()))
  .refine((urls) => urls.every((url) => SERVER.test(url) && hasValidCredentials(url)), { error: FORM })
  .transform((urls): Secret[] => urls.map((url) => toSecret(url, withoutCredentials(url))))
  .meta(secretMeta('NATS servers, separated by commas; tls:// requires TLS', 'credentials'))

/** How to connect to NATS; see `toNatsAccess`. */
export const natsSettings = {
  NATS_URL: natsUrl,
  NATS_CA: optionalFile("PEM file of the NATS servers' certificate authorities; requires TLS; unset: Node's own"),
  NATS_CREDS: optionalFile('Credentials file for NATS, with a JWT and the seed of its nkey').refine(
    (path) => path === undefined || isCredsFile(path),
    { error: 'must be a credentials file, as nsc generates it' },
  ),
  NATS_NKEY: optionalSecret('Seed of a user nkey for NATS', isUserSeed, 'must be the seed of a user nkey, SU…'),
}

/** NATS allows at most five replicas. */
export const eventsReplicas = optionalCount(
  'Replicas of the log and the catalogue, 3 in a NATS cluster; unset: 1 when they are created, unchanged if they exist',
  5,
)

/** Removes the credentials from a server address, so that it is safe to log. */
function withoutCredentials(server: string): string {
  return server.replace(/[^/@]+@/, '')
}

function hasValidCredentials(url: string): boolean {
  try {
    return decodeURIComponent(url) !== ''
  } catch {
    return false
  }
}
