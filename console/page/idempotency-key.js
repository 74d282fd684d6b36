/** A random `Idempotency-Key`. `crypto.randomUUID` exists only in secure contexts, such as https and localhost. */
export function createKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return `"${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}"`
}
