/**
 * Random bytes in hexadecimal. Avoids `crypto.randomUUID`, which needs a secure context, such as an HTTPS page.
 * @param {number} bytes
 */
export function randomHex(bytes) {
  const values = crypto.getRandomValues(new Uint8Array(bytes))
  return Array.from(values, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
