import { execFileSync } from 'node:child_process'
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { expect, test } from 'vitest'
import { startChild } from './harness/child.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

/** Stands in for npm, so that the test needs no network. It runs for a moment, and appends a line to a file. */
const NPM = `#!/bin/sh
echo "$1" >> installations
sleep 0.5
mkdir -p node_modules/.bin && touch node_modules/.bin/node && chmod +x node_modules/.bin/node
`

const hasFlock = execFileSync('sh', ['-c', 'command -v flock || true']).length > 0

test.skipIf(!hasFlock)('commands that start at the same time install the dependencies once', async () => {
  await using directory = await createTempDirectory('install')
  const pathOf = (name: string) => join(directory.path, name)
  await mkdir(pathOf('scripts'))
  await copyFile('scripts/install.sh', pathOf('scripts/install.sh'))
  await writeFile(pathOf('package-lock.json'), '{}')
  await writeFile(pathOf('npm'), NPM)
  await chmod(pathOf('npm'), 0o755)
  const PATH = [directory.path, process.env.PATH].join(delimiter)
  async function install() {
    await using child = startChild('bash', ['scripts/install.sh'], { cwd: directory.path, env: { PATH } })
    return await child.ended
  }
  expect(await Promise.all([install(), install(), install()])).toEqual([0, 0, 0])
  expect(await install()).toBe(0)
  expect(await readFile(pathOf('installations'), 'utf8')).toBe('ci\n')
})
