import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { UsageError } from '../../shared/runtime/command-line.ts'
import { loadSettings } from '../../shared/runtime/settings.ts'
import { createTempDirectory } from '../../tests/harness/temp-directory.ts'
import { signerOf, signingSettings } from './settings.ts'

const BASE = 'https://cdn.example'
const KEYS = 'k1:secret-of-the-first-key,k2:secret-of-the-other-key'
const pemOf = (type: 'rsa' | 'ec') => {
  const encoding = {
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  } as const
  if (type === 'rsa') return generateKeyPairSync('rsa', { modulusLength: 2_048, ...encoding }).privateKey
  return generateKeyPairSync('ec', { namedCurve: 'P-256', ...encoding }).privateKey
}
const PEM = pemOf('rsa')
const CLOUDFRONT = {
  CDN_BASE_URL: BASE,
  CDN_SIGNER: 'cloudfront',
  CLOUDFRONT_KEY_PAIR_ID: 'K2JCJMDEHXQW5F',
  CLOUDFRONT_PRIVATE_KEY: PEM,
}

const load = (env: Record<string, string>) => loadSettings(signingSettings, { args: [], env })
const signWith = async (env: Record<string, string>, asset = 'a/b.mp4') =>
  (await signerOf(load(env)))?.sign(asset, 1_800_000_000)

test('URLs are not signed by default', async () => {
  expect(await signerOf(load({}))).toBeUndefined()
  expect(await signerOf(load({ CDN_PATHS: 'clips/', CDN_URL_TTL: '1h', CDN_SIGNER: 'cloudfront' }))).toBeUndefined()
})

test('URLs are signed with the first key', async () => {
  const url = await signWith({ CDN_BASE_URL: BASE, CDN_KEYS: KEYS })
  expect(url).toMatch(/^https:\/\/cdn\.example\/k1\/1800000000\/[\w-]{43}\/a\/b\.mp4$/)
  expect(await signWith({ CDN_BASE_URL: BASE, CDN_KEYS: 'k1:secret-of-the-first-key' })).toBe(url)
  expect(
    await signWith({ CDN_BASE_URL: BASE, CDN_KEYS: ` k1:secret-of-the-first-key ,\nk2:secret-of-the-other-key` }),
  ).toBe(url)
})

test('keys can be read from a file', async () => {
  await using directory = await createTempDirectory('keys')
  const file = join(directory.path, 'keys')
  await writeFile(file, `${KEYS}\n`)
  expect(await signWith({ CDN_BASE_URL: BASE, CDN_KEYS_FILE: file })).toBe(
    await signWith({ CDN_BASE_URL: BASE, CDN_KEYS: KEYS }),
  )
  await writeFile(file, PEM)
  expect(await signWith({ ...CLOUDFRONT, CLOUDFRONT_PRIVATE_KEY: '', CLOUDFRONT_PRIVATE_KEY_FILE: file })).toBe(
    await signWith(CLOUDFRONT),
  )
})

test('with CDN_SIGNER=cloudfront, URLs are signed for CloudFront', async () => {
  expect(await signWith(CLOUDFRONT)).toContain('/a/b.mp4?Expires=1800000000&Key-Pair-Id=K2JCJMDEHXQW5F&Signature=')
  expect(await signWith({ ...CLOUDFRONT, CLOUDFRONT_POLICY: 'custom' }, 'a/index.m3u8')).toContain('?Policy=')
})

describe('CDN_BASE_URL', () => {
  test.each([
    ['http://127.0.0.1:8085', 'http://127.0.0.1:8085/k1/'],
    ['https://cdn.example/media/', 'https://cdn.example/media/k1/'],
    ['https://CDN.example//', 'https://cdn.example/k1/'],
    ['https://cdn.example/a/../b c', 'https://cdn.example/b%20c/k1/'],
  ])('with %s, signed URLs begin with %s', async (base, prefix) => {
    expect((await signWith({ CDN_BASE_URL: base, CDN_KEYS: KEYS }))?.startsWith(prefix)).toBe(true)
  })

  test.each([
    'cdn.example',
    'ftp://cdn.example',
    'https://',
    'https:///x',
    'https://cdn.example?x=1',
    'https://cdn.example/#x',
    'https://user:s3cr3t@cdn.example',
  ])('cannot be %s', (base) => {
    expect(() => load({ CDN_BASE_URL: base })).toThrow(/^CDN_BASE_URL is ".*": it must be an http/)
    expect(() => load({ CDN_BASE_URL: base })).not.toThrow('s3cr3t')
  })
})

describe('CDN_PATHS', () => {
  test('is a list of prefixes, normalized like the paths that are signed', () => {
    expect(load({ CDN_PATHS: 'clips/, /films,é/' }).CDN_PATHS).toEqual(['clips/', 'films', '%C3%A9/'])
    expect(load({}).CDN_PATHS).toBeUndefined()
  })

  test.each(['/', ',', 'clips/,', '../', 'a//b', 'clips/?x', 'a b', 'a%2fb'])('cannot be %j', (paths) => {
    expect(() => load({ CDN_PATHS: paths })).toThrow('it must be prefixes of relative paths')
  })
})

test.each(['0s', '999ms', '366d', '1', '-1s', '6 h'])('CDN_URL_TTL cannot be %s', (ttl) => {
  expect(() => load({ CDN_URL_TTL: ttl })).toThrow('CDN_URL_TTL')
})

describe('keys', () => {
  test.each([
    ['an empty secret', 'k1:'],
    ['a short secret', 'k1:fifteen-letters'],
    ['a secret with a space', 'k1:secret of the first key'],
    ['a secret beyond ASCII', 'k1:secret-of-the-first-kéy'],
    ['no key id', 'secret-of-the-first-key'],
    ['an empty key id', ':secret-of-the-first-key'],
    ['a key id with a dot', '..:secret-of-the-first-key'],
    ['a key id with a slash', 'a/b:secret-of-the-first-key'],
    ['a key id that begins with an underscore', '__proto__:secret-of-the-first-key'],
    ['a long key id', `${'k'.repeat(33)}:secret-of-the-first-key`],
    ['a key id that occurs twice', 'k1:secret-of-the-first-key,k1:secret-of-the-other-key'],
    ['an empty key at the end', `${KEYS},`],
    ['a bad second key', 'k1:secret-of-the-first-key,k2:short'],
  ])('%s is invalid, and is not printed', (_, keys) => {
    const attempt = () => load({ CDN_BASE_URL: BASE, CDN_KEYS: keys })
    expect(attempt).toThrow(UsageError)
    expect(attempt).toThrow(/^CDN_KEYS is "…": it must be kid:secret/)
  })

  test('a key id may be the name of an inherited property, such as constructor', async () => {
    expect(await signWith({ CDN_BASE_URL: BASE, CDN_KEYS: 'constructor:secret-of-the-first-key' })).toContain(
      '/constructor/',
    )
  })

  test.each(['', 'no PEM', PEM.slice(0, -60), pemOf('ec')])(
    'an invalid private key for CloudFront is refused (case %#)',
    async (pem) => {
      await expect(async () => signWith({ ...CLOUDFRONT, CLOUDFRONT_PRIVATE_KEY: pem })).rejects.toThrow(
        pem === ''
          ? 'needs CLOUDFRONT_PRIVATE_KEY'
          : 'CLOUDFRONT_PRIVATE_KEY is "…": it must be a private RSA key in PEM',
      )
    },
  )
})

test.each([
  [{ CDN_KEYS: KEYS }, "CDN_BASE_URL, the CDN's URL, must be set together with CDN_KEYS"],
  [{ CDN_BASE_URL: BASE }, 'CDN_BASE_URL with CDN_SIGNER=hmac needs CDN_KEYS'],
  [
    { CDN_BASE_URL: BASE, CDN_SIGNER: 'cloudfront', CDN_KEYS: KEYS },
    'needs CLOUDFRONT_KEY_PAIR_ID and CLOUDFRONT_PRIVATE_KEY',
  ],
  [{ ...CLOUDFRONT, CDN_SIGNER: 'hmac' }, 'CDN_BASE_URL with CDN_SIGNER=hmac needs CDN_KEYS'],
  [{ ...CLOUDFRONT, CDN_BASE_URL: '' }, 'must be set together with CLOUDFRONT_KEY_PAIR_ID and CLOUDFRONT_PRIVATE_KEY'],
  [{ ...CLOUDFRONT, CLOUDFRONT_KEY_PAIR_ID: '' }, 'needs CLOUDFRONT_KEY_PAIR_ID'],
  [{ CDN_SIGNER: 'akamai' }, 'CDN_SIGNER is "akamai": it must be hmac or cloudfront'],
  [{ ...CLOUDFRONT, CLOUDFRONT_POLICY: 'all' }, 'it must be canned or custom'],
  [{ ...CLOUDFRONT, CLOUDFRONT_KEY_PAIR_ID: 'a b' }, 'CLOUDFRONT_KEY_PAIR_ID'],
])('incomplete or invalid settings are a usage error (case %#)', async (env, message) => {
  await expect(async () => signerOf(load(env))).rejects.toThrow(UsageError)
  await expect(async () => signerOf(load(env))).rejects.toThrow(message)
})
