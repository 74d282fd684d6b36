import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startChild } from './harness/child.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

async function cdn(args: string[], env: Record<string, string> = {}) {
  await using child = startChild(process.execPath, ['scripts/cdn/main.ts', ...args], {
    env: { CDN_KEYS: '', CDN_KEYS_FILE: '', ...env },
  })
  return { status: await child.ended, lines: child.lines }
}

const rotate = async (CDN_KEYS: string) => {
  const { status, lines } = await cdn(['rotate'], { CDN_KEYS })
  expect([status, lines.length]).toEqual([0, 1])
  return lines[0] ?? ''
}

test('rotate puts a new key first, keeps the previous first key, and drops the others', async () => {
  const first = await rotate('')
  expect(first).toMatch(/^k1:[\w-]{43}$/)
  const second = await rotate(first)
  expect(second).toMatch(/^k2:[\w-]{43},k1:/)
  expect(second.endsWith(`,${first}`)).toBe(true)
  const third = await rotate(second)
  expect(third).toMatch(/^k3:[\w-]{43},k2:[\w-]{43}$/)
  expect(third.endsWith(`,${second.split(',')[0]}`)).toBe(true)
})

test.each([
  ['main:secret-of-the-first-key', 'main2'],
  ['k9:secret-of-the-first-key', 'k10'],
  ['k1:secret-of-the-first-key,k2:secret-of-the-other-key', 'k3'],
  [`${'k'.repeat(32)}:secret-of-the-first-key`, 'k1'],
])('given the keys %s, rotate prints a new key with the id %s', async (keys, id) => {
  expect((await rotate(keys)).split(':')[0]).toBe(id)
})

test('rotate reads the keys from a file', async () => {
  await using directory = await createTempDirectory('keys')
  const file = join(directory.path, 'keys')
  await writeFile(file, 'k7:secret:of-the-first-key\n')
  const { lines } = await cdn(['rotate'], { CDN_KEYS_FILE: file })
  expect(lines).toEqual([expect.stringMatching(/^k8:[\w-]{43},k7:secret:of-the-first-key$/)])
})

test('nginx-keys prints the keys as JSON', async () => {
  const CDN_KEYS = 'k2:secret-of-"the-new-key,k1:secret-of-the-old-key'
  const { status, lines } = await cdn(['nginx-keys'], { CDN_KEYS })
  expect(status).toBe(0)
  expect(JSON.parse(lines.join())).toEqual({ k2: 'secret-of-"the-new-key', k1: 'secret-of-the-old-key' })
})

test('nginx prints a configuration with absolute paths and no secret', async () => {
  const CDN_KEYS = 'k1:secret-of-the-first-key'
  const { status, lines } = await cdn(['nginx', '--listen', '[::]:80', '--root', '/media', '--keys', 'k.json'], {
    CDN_KEYS,
  })
  const text = lines.join('\n')
  expect(status).toBe(0)
  expect(text).toContain('listen [::]:80;')
  expect(text).toContain('root "/media";')
  expect(text).toContain(`from "${join(process.cwd(), 'k.json')}"`)
  expect(text).not.toMatch(/\$\{[A-Z]/)
  expect(text).not.toContain('secret-of')
})

test.each([
  [[], 'expected rotate, nginx-keys or nginx'],
  [['turn'], 'expected rotate'],
  [['rotate', 'now'], 'unexpected argument "now"'],
  [['nginx-keys'], 'CDN_KEYS is not set'],
  [['nginx', '--root', '/me"dia'], 'nginx cannot parse'],
  [['nginx', '--fast'], "Unknown option '--fast'"],
])('%j exits with status 2 and one line', async (args, message) => {
  const { status, lines } = await cdn(args)
  expect([status, lines]).toEqual([2, [expect.stringContaining(`npm run cdn: ${message}`)]])
})

test('an invalid key is not printed', async () => {
  const { status, lines } = await cdn(['rotate'], { CDN_KEYS: 'k1:short-s3cr3t' })
  expect([status, lines]).toEqual([2, [expect.stringMatching(/^npm run cdn: CDN_KEYS is "…": it must be kid:secret/)]])
})

test('--help describes the commands', async () => {
  const { status, lines } = await cdn(['--help'])
  expect([status, lines[0]]).toEqual([0, 'Usage: npm run --silent cdn -- COMMAND'])
})
