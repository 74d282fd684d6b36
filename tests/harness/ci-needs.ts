/**
 * Returns `isInstalled`, for tests that are skipped if a program is missing.
 * @throws Error if the program is missing although CI_NEEDS lists it, because CI must not skip the tests that need it
 */
export function failIfCiNeeds(program: string, isInstalled: boolean): boolean {
  const isNeeded = process.env.CI_NEEDS?.split(' ').includes(program)
  if (!isInstalled && isNeeded) throw new Error(`${program} does not run, but CI must not skip the tests that need it`)
  return isInstalled
}
