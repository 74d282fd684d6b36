import { AssetId } from '../contracts/ids.ts'

/**
 * Keys allow fewer characters than ids, and no consecutive dots. Every character except letters, digits, `_` and `-` is
 * encoded as `=` and two hex digits.
 */
export function toKey(id: string): string {
  return id.replaceAll(/[^\w-]/g, (character) => `=${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Returns the id that a key encodes, or undefined if the key encodes no id: other clients can write any key. */
export function toId(key: string): string | undefined {
  const id = key.replaceAll(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
  return AssetId.safeParse(id).success && toKey(id) === key ? id : undefined
}
