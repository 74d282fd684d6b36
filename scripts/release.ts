import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { version } from '../shared/runtime/version.ts'
import { runCommand } from './command.ts'

const name = 'npm version'

const usage = `Usage: npm version major | minor | patch

Makes a release: sets the version, dates the Unreleased section of CHANGELOG.md, commits, and tags the commit. npm runs
this script twice: first with --check, then with the new version in package.json.

  --check  only checks that the Unreleased section has entries`

const options = { check: { type: 'boolean', default: false } } as const

/** Matches the heading of the Unreleased section if the section has entries. */
const UNRELEASED = /^## \[Unreleased\]\n+(?=### )/m

await runCommand({ name, usage, options }, async ({ check }) => {
  const changelog = readFileSync('CHANGELOG.md', 'utf8')
  if (!UNRELEASED.test(changelog)) {
    process.stderr.write(`${name}: CHANGELOG.md has no entries under Unreleased\n`)
    return 1
  }
  if (check) return 0
  const today = new Date().toISOString().slice(0, 10)
  writeFileSync('CHANGELOG.md', changelog.replace(UNRELEASED, `## [Unreleased]\n\n## [${version}] - ${today}\n\n`))
  change('docs/asyncapi.yaml', /(?<=^ {2}version: ).*$/m)
  change('README.md', /(?<="v)\d+\.\d+\.\d+[^"]*(?=")/g)
  change('deploy/kubernetes/overlays/production/kustomization.yaml', /(?<=^ +newTag: ).*$/m)
  return 0
})

/** Writes the version at each match in a file, if the file exists. */
function change(file: string, places: RegExp): void {
  if (!existsSync(file)) return
  writeFileSync(file, readFileSync(file, 'utf8').replace(places, version))
}
