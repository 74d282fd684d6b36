import { type Secret, toSecret } from './secret.ts'
import { optionalSecret } from './secret-settings.ts'

/** A key that signs URLs. */
export type SigningKey = { id: string; secret: Secret }

const KEY_ID = /^[a-z0-9][a-z0-9_-]{0,31}$/i
const SECRET = /^[\x21-\x2b\x2d-\x7e]{16,}$/

/** `kid:secret[,kid:secret…]`, parsed by toSigningKeys. */
export const signingKeys = optionalSecret(
  'Keys for signed URLs, as kid:secret, separated by commas; the first one signs',
  (text) => parseKeys(text) !== undefined,
  'must be kid:secret pairs, separated by commas: each kid is unique, has 1 to 32 characters of A-Z a-z 0-9 _ -, and starts with a letter or digit; each secret has at least 16 characters of printable ASCII, without spaces or commas',
)

/** The keys in a valid setting, in order. */
export function toSigningKeys(setting: Secret): [SigningKey, ...SigningKey[]] {
  const keys = parseKeys(setting.reveal())
  if (!keys) throw new Error('invalid keys in a validated setting')
  return keys
}

/** @returns undefined if the text is invalid */
function parseKeys(text: string): [SigningKey, ...SigningKey[]] | undefined {
  const [first, ...others] = text.split(',').map(parseKey)
  if (!first) return undefined
  const keys: [SigningKey, ...SigningKey[]] = [first]
  for (const key of others) {
    if (!key || keys.some(({ id }) => id === key.id)) return undefined
    keys.push(key)
  }
  return keys
}

function parseKey(text: string): SigningKey | undefined {
  const [, id = '', secret = ''] = /^\s*([^:]*):(.*?)\s*$/s.exec(text) ?? []
  return KEY_ID.test(id) && SECRET.test(secret) ? { id, secret: toSecret(secret) } : undefined
}
