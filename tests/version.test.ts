import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { version } from '../shared/runtime/version.ts'
import { startChild } from './harness/child.ts'
import { serviceNames } from './harness/each-service.ts'
import { copyProject } from './harness/guide.ts'

const manifest = JSON.parse(await readFile('package.json', 'utf8'))
const changelog = await readFile('CHANGELOG.md', 'utf8')

/** Scripts that run third-party tools, and scripts that npm itself runs. */
const TOOLS = ['test', 'test:unit', 'layers', 'check', 'preversion', 'version']

const PATH = [resolve('node_modules/.bin'), process.env.PATH].join(delimiter)

/** The project's commands, in bash and in Node. */
const commands = Object.entries<string>(manifest.scripts)
  .filter(([name]) => !TOOLS.includes(name))
  .map(([, command]) => command.replace('bash scripts/install.sh && ', '').replace('exec ', ''))
const programs = [...new Set(commands.flatMap((command) => /^node (\S+)$/.exec(command)?.[1] ?? []))]
const scripts = commands.filter((command) => command.startsWith('bash '))

describe('with --version', { concurrent: true }, () => {
  test.each([
    ...scripts,
    ...['bash scripts/clips.sh', 'node metadata/main.ts', 'node scripts/why/main.ts'],
    ...['node deploy/image/main.ts', 'node deploy/image/main.ts secrets'],
  ])('%s prints the version in package.json', async (command) => {
    await using child = startChild('bash', ['-c', `${command} --version`], { env: { PATH } })
    expect({ status: await child.ended, lines: child.lines }).toEqual({ status: 0, lines: [version] })
  })

  test('every other command and service prints the version too, because it uses runCommand or runService', async () => {
    const services = ['embedded', 'cdn', ...serviceNames].map((name) => `${name}/main.ts`)
    expect(programs.length).toBeGreaterThan(9)
    for (const path of [...programs, ...services]) {
      expect(await readFile(path, 'utf8'), path).toMatch(/^await run(Command|Service)\(/m)
    }
  })
})

describe('CHANGELOG.md', () => {
  const releases = [...changelog.matchAll(/^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$/gm)].map(
    ([, release]) => release,
  )

  test('begins with the unreleased changes, followed by the version in package.json', () => {
    expect(changelog.match(/^## .*$/m)?.[0]).toBe('## [Unreleased]')
    expect(releases[0]).toBe(version)
  })

  test('has only the types of changes that Keep a Changelog defines', () => {
    const kinds = [...changelog.matchAll(/^### (.*)$/gm)].map(([, kind]) => kind)
    const types = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security']
    expect(kinds.filter((kind) => !types.includes(kind ?? ''))).toEqual([])
  })

  test('has a release for each row of the table in docs/upgrading.md', async () => {
    const rows = [...(await readFile('docs/upgrading.md', 'utf8')).matchAll(/^\| (\d+\.\d+\.\d+) \|/gm)]
    expect(rows.map(([, release]) => release)).toEqual(releases)
  })
})

describe('npm version', () => {
  test('dates the unreleased changes, sets the version everywhere, and commits and tags the result', async () => {
    await using project = await copyProject()
    const write = (text: string) => writeFile(join(project.directory, 'CHANGELOG.md'), text)
    const read = (file: string) => readFile(join(project.directory, file), 'utf8')
    await write(changelog.replace(/^## \[Unreleased\]\n.*?(?=^## )/ms, '## [Unreleased]\n\n'))
    await project.passes(`git init --quiet
      git config user.name releaser && git config user.email releaser@localhost
      echo node_modules >.git/info/exclude && git add --all && git commit --quiet --message first`)
    const { lines } = await project.run('npm version major')
    expect(lines).toContain('npm version: CHANGELOG.md has no entries under Unreleased')
    expect(await project.passes('git status --short')).toEqual([])

    const entries = '### Fixed\n\n- An error.\n\n'
    await write((await read('CHANGELOG.md')).replace(/(?<=^## \[Unreleased\]\n\n)/m, entries))
    await project.passes('git commit --all --quiet --message second && npm version major')
    const next = `${Number.parseInt(version, 10) + 1}.0.0`
    expect(await read('CHANGELOG.md')).toMatch(
      new RegExp(`^## \\[Unreleased\\]\n\n## \\[${RegExp.escape(next)}\\] - \\d{4}-\\d\\d-\\d\\d\n\n${entries}`, 'm'),
    )
    const others = ['package.json', 'package-lock.json', 'README.md', 'docs/asyncapi.yaml']
    for (const file of others) expect(await read(file)).toMatch(new RegExp(`version"?: "?${next}|"v${next}"`))
    expect(await project.passes('git status --short && git tag')).toEqual([`v${next}`])
  })
})

test('npm run sbom lists Node and the production dependencies, and no others', async () => {
  const { stdout } = await promisify(execFile)('node', ['scripts/sbom.ts'], {
    env: { ...process.env, PATH },
    maxBuffer: 2 ** 24,
  })
  const { metadata, components, dependencies } = JSON.parse(stdout)
  expect(metadata.component).toMatchObject({ name: 'video-edge-aggregator', version, type: 'application' })
  const names: string[] = components.map(({ name }: { name: string }) => name)
  expect(names).toEqual(expect.arrayContaining(['node', ...Object.keys(manifest.dependencies), 'pg-types']))
  expect(names.filter((name) => name !== 'node' && name in manifest.devDependencies)).toEqual(['@standard-schema/spec'])
  expect(dependencies).toHaveLength(components.length + 1)
})
