import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { symlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type ServiceProcess, startCommand } from './service-process.ts'
import { createTempDirectory } from './temp-directory.ts'

/** The last commit of release 0.1.0, named by its hash, because a clone may lack the tag. */
const COMMIT = '162b400635d9a7fa3cbaeffab586c8ebc93b8471'

/** False in a clone without the history, or if git is not installed. */
export const hasReleased = spawnSync('git', ['cat-file', '-e', `${COMMIT}^{commit}`]).status === 0
if (!hasReleased) console.warn(`Skipping the upgrade tests: this clone lacks commit ${COMMIT} (release 0.1.0).`)

export type Released = AsyncDisposable & {
  /** Returns false for a service that was added later. */
  has(name: string): boolean
  /** Starts a service from the release. `env` has all the service's settings. */
  start(name: string, env: Record<string, string>, port: number): Promise<ServiceProcess>
}

/** Checks out the sources of release 0.1.0. The current dependencies include every dependency of that release. */
export async function checkOutReleased(): Promise<Released> {
  const directory = await createTempDirectory('released')
  await promisify(execFile)('bash', ['-c', 'git archive "$0" | tar -x -C "$1"', COMMIT, directory.path])
  await symlink(resolve('node_modules'), join(directory.path, 'node_modules'))
  return {
    ...directory,
    has: (name) => existsSync(join(directory.path, name)),
    start: (name, env, port) =>
      startCommand(name, process.execPath, [join(directory.path, name, 'main.ts')], env, port),
  }
}
