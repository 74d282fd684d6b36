import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { startChild } from './harness/child.ts'
import { metric, play } from './harness/plays.ts'

/**
 * The guide, followed to the letter in a copy of the project. A block of TypeScript or a diff belongs to the file that
 * the line before it ends with.
 */
const guide = await readFile('docs/adding-a-service.md', 'utf8')
const BLOCK = /`([^`\n]+)`:\n\n```(ts|diff)\n(.*?)^```$/gms
const WRITE_TOKEN = 'the-token'

describe('the guide to adding a service', { timeout: 60_000 }, () => {
  test('says of each block which file it is', () => {
    expect([...guide.matchAll(BLOCK)].length).toBe(guide.match(/^```(ts|diff)$/gm)?.length)
  })

  test('adds a service that passes the check and its tests', async () => {
    await using project = await follow(guide.slice(0, guide.indexOf('## Have play show it')))
    await project.passes('tsc')
    await project.passes('biome', 'check', '--error-on-warnings', '.')
    // The copy shares node_modules, where the cache is, and is not there for long.
    await project.passes('vitest', 'run', 'ratings', '--cache=false', '--fsModuleCache=false')
  })

  test('leaves nothing to correct but the tests that it names', async () => {
    await using project = await follow(guide)
    const { output } = await project.run('tsc', '--pretty', 'false')
    const files = new Set(output.match(/^[^\s(]+(?=\()/gm))
    expect(files, output).toEqual(new Set(['play/app.test.ts', 'play/playback.test.ts', 'play/sources.test.ts']))
    for (const file of files) expect(guide).toContain(`\`${file}\``)
    await project.passes('biome', 'check', '--error-on-warnings', '.')
  })

  test('has play answer as it shows, with a metric of its reads, and keeps writes to those who have the token', async () => {
    await using project = await follow(guide)
    const env = { DATA_DIR: 'data', WRITE_TOKEN }
    await using embedded = project.start(process.execPath, ['embedded/main.ts', '--port', '0'], env)
    const at = (name: string) => embedded.line((line) => urlOf(name, line))
    const [edge, ratings] = await Promise.all([at('play'), at('ratings')])
    expect(guide).toContain(`\n${JSON.stringify((await play(edge, '456', '8')).body)}\n`)
    expect(await metric(edge, /^catalogue_cache_reads_total\{source="ratings",outcome="miss"/)).toBe(1)
    expect((await fetch(`${ratings}/rating/asset/456`, jsonRequest({ stars: 1 }))).status).toBe(401)
  })
})

/** A copy of the project, changed by the blocks of a part of the guide. */
async function follow(part: string) {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'adding-a-service-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  await copyProject(folder)
  for (const [, file = '', kind, text = ''] of part.matchAll(BLOCK)) {
    const path = join(folder, file)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, kind === 'ts' ? text : applyDiff(file, await readFile(path, 'utf8'), text))
  }
  const start = (program: string, args: string[], env = {}) => startChild(program, args, { cwd: folder, env })
  async function run(program: string, ...args: string[]) {
    await using child = start(`node_modules/.bin/${program}`, args)
    return { status: await child.ended, output: child.lines.join('\n') }
  }
  const all = stack.move()
  return {
    start,
    run,
    async passes(program: string, ...args: string[]) {
      const { status, output } = await run(program, ...args)
      expect(status, output).toBe(0)
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

async function copyProject(folder: string): Promise<void> {
  const { stdout } = await promisify(execFile)('git', ['ls-files', '-z'])
  await Promise.all(stdout.split('\0').map((file) => file && cp(file, join(folder, file))))
  await symlink(resolve('node_modules'), join(folder, 'node_modules'))
}

/** Each hunk must be for exactly one place, so that the guide's readers find it too. */
function applyDiff(file: string, text: string, diff: string): string {
  const hunks = diff.split(/^@@\n/m).slice(1)
  return hunks.reduce((before, hunk) => {
    const lines = hunk.match(/^.*\n/gm) ?? []
    const without = (mark: string) => lines.flatMap((line) => (line[0] === mark ? [] : [line.slice(1)])).join('')
    const [head, tail, ...more] = before.split(without('+'))
    if (tail === undefined || more.length > 0) throw new Error(`${file} has not one place for this hunk:\n${hunk}`)
    return head + without('-') + tail
  }, text)
}

function urlOf(name: string, line: string): string | undefined {
  if (!line.startsWith('{')) return undefined
  const { name: service, msg, url } = JSON.parse(line)
  return service === name && msg === 'listening' ? url : undefined
}
