import { chownSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createTempDirectory } from '../../../tests/harness/temp-directory.ts'
import { removeLeftovers } from './socket-directory.ts'

/** A process id above the maximum on Linux. */
const DEAD_PID = 4_194_305
const NOBODY = 65_534

test("a killed process's directory is removed, with its token file", async () => {
  expect(await remainingAfterRemoval(process.getuid?.() ?? 0)).toEqual([])
})

// Only root can create a directory for another user.
test.skipIf(process.getuid?.() !== 0)("another user's directory is left alone", async () => {
  expect(await remainingAfterRemoval(NOBODY)).toHaveLength(2)
})

/** Creates the leftovers of user `uid`'s process, removes all leftovers, and returns the paths that remain. */
async function remainingAfterRemoval(uid: number): Promise<string[]> {
  await using temp = await createTempDirectory('leftovers')
  vi.stubEnv('TMPDIR', temp.path)
  onTestFinished(() => void vi.unstubAllEnvs())
  const directory = join(temp.path, `video-edge-${DEAD_PID}-x`)
  const tokenFile = join(temp.path, 'controls-8080')
  mkdirSync(directory)
  for (const file of [join(directory, 'token'), tokenFile]) writeFileSync(file, 'secret-token\n')
  symlinkSync(tokenFile, join(directory, 'token-file'))
  chownSync(directory, uid, uid)
  removeLeftovers()
  return [directory, tokenFile].filter((path) => existsSync(path))
}
