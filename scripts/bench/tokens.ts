import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { IdentityProvider } from '../../tests/harness/identity-provider.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'

/** Kept small, so that verifying each cached token again, once a minute, does not affect the results. */
const USERS = 200

/** Writes a token for each of 200 users to a file, one `user token` per line, as plays.lua expects. */
export async function writeTokens(provider: IdentityProvider, change = (token: string) => token) {
  const directory = await createTempDirectory('bench-tokens')
  const path = join(directory.path, 'tokens')
  const users = Array.from({ length: USERS }, (_, n) => `u${n}`)
  const lines = await Promise.all(users.map(async (sub) => `${sub} ${change(await provider.sign({ sub }))}`))
  await writeFile(path, lines.join('\n'))
  return { ...directory, path }
}
