/**
 * The first server version that replicates streams safely and can compress them. In earlier versions, a replicated
 * stream may store a message twice, or lose one that it acknowledged.
 */
export const REPLICATING_VERSION = '2.10'

/** @param version such as `2.9.10` */
export function isAtLeast(version: string, minimum: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [minMajor = 0, minMinor = 0] = minimum.split('.').map(Number)
  return major > minMajor || (major === minMajor && minor >= minMinor)
}
