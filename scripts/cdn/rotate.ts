import { randomBytes } from 'node:crypto'
import { toSecret } from '../../shared/runtime/secret.ts'
import type { SigningKey } from '../../shared/runtime/signing-keys.ts'

/** Returns a new signing key, followed by the current one. Older keys are dropped. */
export function nextKeys([first, ...others]: readonly SigningKey[]): SigningKey[] {
  const ids = [first, ...others].flatMap((key) => key?.id ?? [])
  const key = { id: nextId(first?.id ?? 'k0', ids), secret: toSecret(randomBytes(32).toString('base64url')) }
  return first ? [key, first] : [key]
}

/** Formats keys as a value for CDN_KEYS. */
export function toText(keys: readonly SigningKey[]): string {
  return keys.map(({ id, secret }) => `${id}:${secret.reveal()}`).join(',')
}

/** Returns the next unused id, such as `k2` after `k1`. */
function nextId(id: string, used: readonly string[]): string {
  const [, name = '', number = '1'] = /^(.{1,24}?)(\d{1,7})?$/.exec(id) ?? [id, 'k', '0']
  const next = `${name}${Number(number) + 1}`
  return used.includes(next) ? nextId(next, used) : next
}
