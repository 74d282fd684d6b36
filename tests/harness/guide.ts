import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import { startChild } from './child.ts'

/** The TypeScript and diff blocks in a guide. The line before each block ends with the name of the block's file. */
export const BLOCK = /`([^`\n]+)`:\n\n```(ts|diff)\n(.*?)^```$/gms

/** Creates a copy of the project, and applies code blocks from the guides to the copy. */
export async function follow(...parts: string[]) {
  const project = await copyProject()
  await project.apply(...parts)
  return project
}

/** Creates a copy of the project that shares its dependencies. */
export async function copyProject() {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'guide-'))
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  await copyFiles(directory)
  const path = [join(directory, 'node_modules/.bin'), process.env.PATH].join(delimiter)
  const start = (program: string, args: string[], env = {}) => startChild(program, args, { cwd: directory, env })
  async function run(command: string) {
    await using child = start('bash', ['-c', command], { PATH: path })
    return { status: await child.ended, lines: child.lines }
  }
  async function passes(command: string) {
    const { status, lines } = await run(command)
    expect(status, lines.join('\n')).toBe(0)
    return lines
  }
  const all = stack.move()
  return {
    directory,
    start,
    run,
    passes,
    /** Applies the code blocks of guides, or of sections of a guide. */
    async apply(...parts: string[]) {
      for (const [, file = '', kind, text = ''] of parts.join('\n').matchAll(BLOCK)) {
        const path = join(directory, file)
        await mkdir(dirname(path), { recursive: true })
        await writeFile(path, kind === 'ts' ? text : applyDiff(file, await readFile(path, 'utf8'), text))
      }
    },
    /** Runs the checks in `npm run check`, except those for the console page. */
    passesCheck: () => passes('npm run --silent layers & tsc && biome check --error-on-warnings . && wait $!'),
    /** Disables the caches, because they are in the shared node_modules. */
    passesTests: (...args: string[]) => passes(`vitest run ${args.join(' ')} --cache=false --fsModuleCache=false`),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

async function copyFiles(directory: string): Promise<void> {
  const { stdout } = await promisify(execFile)('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'])
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
      throw new Error(`this hunk must match exactly one place in ${file}:\n${hunk}`)
    return head + without('-') + tail
  }, text)
}
