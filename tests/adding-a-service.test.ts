import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { startChild } from './harness/child.ts'
import { metric, play } from './harness/plays.ts'

/** The TypeScript and diff blocks in the guide. The line before each block ends with its file name. */
const BLOCK = /`([^`\n]+)`:\n\n```(ts|diff)\n(.*?)^```$/gms
const WRITE_TOKEN = 'the-token'

const guide = await readFile('docs/adding-a-service.md', 'utf8')
const { scripts } = JSON.parse(await readFile('package.json', 'utf8'))

/** Test files that depend on the list of services or on the calls of a play. */
const AFFECTED = [
  ...['ratings/', 'play/aggregate', 'play/app', 'play/playback', 'play/service', 'console/'],
  ...['openapi', 'metrics', 'embedded', 'alerts', 'errors'].map((name) => `tests/${name}.test.ts`),
]

/** The names of affected tests in files that take too long to run completely. */
const AFFECTED_TESTS = {
  doctor: ['if the system is healthy', 'reports services that are not registered'],
  console: ['in a light colour scheme'],
  conformance: ['ratings responds as its OpenAPI document says'],
}

test('every block in the guide has a file name', () => {
  expect([...guide.matchAll(BLOCK)].length).toBe(guide.match(/^```(ts|diff)$/gm)?.length)
})

test('the guide changes at most eight existing files to add a service', async () => {
  const part = guide.slice(0, guide.indexOf("## Add it to play's response"))
  const changed = [...part.matchAll(BLOCK)].flatMap(([, file = '', kind]) => (kind === 'diff' ? [file] : []))
  expect(changed.length).toBeLessThanOrEqual(8)
  const [, listed = ''] = /This changes \w+ existing files: (.*?)\.\n\n/s.exec(part) ?? []
  expect([...listed.matchAll(/`([^`]+)`/g)].map(([, file]) => file)).toEqual(expect.arrayContaining(changed))
})

describe('the new service alone', { timeout: 120_000 }, () => {
  test('adds a service that passes the check and its tests', async () => {
    await using project = await follow(guide.slice(0, guide.indexOf("## Add it to play's response")))
    await project.passesCheck()
    await project.passesTests('ratings')
  })
})

describe('the whole guide', { timeout: 240_000 }, () => {
  let project: Awaited<ReturnType<typeof follow>>
  beforeAll(async () => {
    project = await follow(guide)
  })
  afterAll(() => project?.[Symbol.asyncDispose]())

  test('passes the check', () => project.passesCheck())

  test('passes the tests', async () => {
    await project.passesTests(...AFFECTED)
    const files = Object.keys(AFFECTED_TESTS).map((name) => `tests/${name}.test.ts`)
    const names = Object.values(AFFECTED_TESTS).flat()
    const lines = await project.passesTests(...files, '--reporter=verbose', `--testNamePattern='${names.join('|')}'`)
    for (const name of names) expect(lines).toContainEqual(expect.stringMatching(`[✓↓].*${name}`))
  })

  test('adds stars to the response of a play, counts cache reads, and protects writes', async () => {
    const env = { DATA_DIR: 'data', WRITE_TOKEN }
    await using embedded = project.start(process.execPath, ['embedded/main.ts', '--port', '0'], env)
    const urlOf = (name: string) => embedded.line((line) => listeningUrl(name, line))
    const [edge, ratings] = await Promise.all([urlOf('play'), urlOf('ratings')])
    const [, command = '', body = ''] = /asset\/456 .* -d '(.*?)'\ncurl .*\n(\{.*\})\n/.exec(guide) ?? []
    const rate = (authorization: string) => {
      const request = jsonRequest(JSON.parse(command))
      return fetch(`${ratings}/rating/asset/456`, { ...request, headers: { ...request.headers, authorization } })
    }
    expect((await rate('')).status).toBe(401)
    expect((await rate(`Bearer ${WRITE_TOKEN}`)).status).toBe(200)
    expect((await play(edge, '456', '8')).body).toEqual(JSON.parse(body))
    expect(await metric(edge, /^catalogue_cache_reads_total\{source="ratings",outcome="miss"/)).toBe(1)
  })
})

/** A copy of the project with the blocks of a section of the guide applied. */
async function follow(part: string) {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'adding-a-service-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  await copyProject(directory)
  for (const [, file = '', kind, text = ''] of part.matchAll(BLOCK)) {
    const path = join(directory, file)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, kind === 'ts' ? text : applyDiff(file, await readFile(path, 'utf8'), text))
  }
  const start = (program: string, args: string[], env = {}) => startChild(program, args, { cwd: directory, env })
  async function passes(command: string) {
    const env = { PATH: [join(directory, 'node_modules/.bin'), process.env.PATH].join(delimiter) }
    await using child = start('bash', ['-c', command], env)
    const status = await child.ended
    expect(status, child.lines.join('\n')).toBe(0)
    return child.lines
  }
  const all = stack.move()
  return {
    start,
    /** Does not install dependencies, because the copy shares node_modules. */
    passesCheck: () => passes(scripts.check.replace('bash scripts/install.sh && ', '')),
    /** Disables caches, which are in the shared node_modules. */
    passesTests: (...args: string[]) => passes(`vitest run ${args.join(' ')} --cache=false --fsModuleCache=false`),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

async function copyProject(directory: string): Promise<void> {
  const { stdout } = await promisify(execFile)('git', ['ls-files', '-z'])
  await Promise.all(stdout.split('\0').map((file) => file && cp(file, join(directory, file))))
  await symlink(resolve('node_modules'), join(directory, 'node_modules'))
}

/** Each hunk must match exactly once, so that readers can find the place too. */
function applyDiff(file: string, text: string, diff: string): string {
  const hunks = diff.split(/^@@\n/m).slice(1)
  return hunks.reduce((before, hunk) => {
    const lines = hunk.match(/^.*\n/gm) ?? []
    const without = (mark: string) => lines.flatMap((line) => (line[0] === mark ? [] : [line.slice(1)])).join('')
    const [head, tail, ...more] = before.split(without('+'))
    if (tail === undefined || more.length > 0)
      throw new Error(`not exactly one place in ${file} matches this hunk:\n${hunk}`)
    return head + without('-') + tail
  }, text)
}

function listeningUrl(name: string, line: string): string | undefined {
  if (!line.startsWith('{')) return undefined
  const { name: service, msg, url } = JSON.parse(line)
  return service === name && msg === 'listening' ? url : undefined
}
