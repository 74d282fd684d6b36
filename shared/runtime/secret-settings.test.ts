import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { UsageError } from './command-line.ts'
import { optionalSecret } from './secret-settings.ts'
import { describeSettings, loadSettings, port } from './settings.ts'

describe('a secret', () => {
  const shape = { TOKEN: optionalSecret('A token', (text) => text.length < 9, 'must be short'), PORT: port(8080) }
  const load = (env: Record<string, string>) => loadSettings(shape, { args: [], env }).TOKEN?.reveal()
  let directory: Awaited<ReturnType<typeof createTempDirectory>>
  let file: string
  beforeEach(async () => {
    directory = await createTempDirectory('secret')
    file = join(directory.path, 'file')
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  test('is read from its variable, or from the file in TOKEN_FILE without its trailing newline', async () => {
    expect(load({ TOKEN: 's3cr3t' })).toBe('s3cr3t')
    for (const text of ['s3cr3t', 's3cr3t\n', 's3cr3t\r\n']) {
      await writeFile(file, text)
      expect(load({ TOKEN_FILE: file })).toBe('s3cr3t')
    }
    expect(load({ TOKEN: '', TOKEN_FILE: '' })).toBeUndefined()
  })

  test('does not appear in errors, nor does the path to its file', async () => {
    await writeFile(file, 's3cr3t-and-long')
    const empty = join(directory.path, 'empty')
    await writeFile(empty, '\n')
    const errors: [Record<string, string>, string][] = [
      [{ TOKEN: 's3cr3t-and-long' }, 'TOKEN is "…": it must be short'],
      [{ TOKEN_FILE: file }, 'TOKEN is "…": it must be short'],
      [{ TOKEN_FILE: '/nowhere/s3cr3t' }, 'the file in TOKEN_FILE cannot be read (ENOENT)'],
      [{ TOKEN_FILE: directory.path }, 'the file in TOKEN_FILE cannot be read (EISDIR)'],
      [{ TOKEN_FILE: empty }, 'the file in TOKEN_FILE is empty'],
      [{ TOKEN: 's3cr3t', TOKEN_FILE: file }, 'TOKEN and TOKEN_FILE are both set: set only one of them'],
    ]
    for (const [env, message] of errors) expect(() => load(env)).toThrow(new UsageError(message))
  })

  test('is listed with its _FILE variable in --help, unlike other settings', () => {
    const help = describeSettings('/somewhere/play/main.ts', shape)
    expect(help).toMatch(/^ {2}TOKEN\[_FILE\] +A token \(default: none\)$/m)
    expect(load({ PORT_FILE: '/nowhere' })).toBeUndefined()
  })
})
