/**
 * Passes on whether a program is there, for tests to be skipped where it is not.
 * @throws Error where `.ci/run` says, in CI_NEEDS, that it installed the program: CI must not skip what needs it
 */
export function unlessCiNeeds(program: string, isThere: boolean): boolean {
  const needed = process.env.CI_NEEDS?.split(' ').includes(program)
  if (!isThere && needed) throw new Error(`${program} does not run, and CI must not skip what needs it`)
  return isThere
}
