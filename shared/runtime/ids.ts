import { randomBytes } from 'node:crypto'

/**
 * Makes ids such as `Zm9vYmFyMTIz-2s`: twelve characters of chance for this process, then a count. Unique like a random
 * UUID, but shorter in each message, and made in a tenth of the time.
 */
export function createIds(): () => string {
  const prefix = randomBytes(9).toString('base64url').replaceAll(/[-_]/g, '0')
  let count = 0
  return () => {
    count += 1
    return `${prefix}-${count.toString(36)}`
  }
}
