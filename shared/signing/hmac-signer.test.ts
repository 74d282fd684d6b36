import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import verifier from '../../deploy/cdn/verify.js'
import { hasPlainSegments } from '../contracts/relative-url.ts'
import { toSecret } from '../runtime/secret.ts'
import { isPlaylist, scopeOf, toCdnPath } from './cdn-path.ts'
import { createHmacSigner, hmacSha256 } from './hmac-signer.ts'
import { UnsignableError } from './signer.ts'

const SECRET = 'secret-of-the-first-key'
const EXPIRES = 1_800_000_000
const signer = createHmacSigner('https://cdn.example/media', { id: 'k1', secret: toSecret(SECRET) })
const sign = (url: string) => signer.sign(url, EXPIRES)

const bytes = (value: number, count: number) => new Uint8Array(count).fill(value)
const LARGE_DATA =
  'This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.'

/** https://www.rfc-editor.org/rfc/rfc4231#section-4. Omits case 5, which truncates the output. */
test.each([
  [1, bytes(0x0b, 20), 'Hi There', 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'],
  [2, 'Jefe', 'what do ya want for nothing?', '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'],
  [3, bytes(0xaa, 20), bytes(0xdd, 50), '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe'],
  [
    4,
    Uint8Array.from({ length: 25 }, (_, index) => index + 1),
    bytes(0xcd, 50),
    '82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b',
  ],
  [
    6,
    bytes(0xaa, 131),
    'Test Using Larger Than Block-Size Key - Hash Key First',
    '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
  ],
  [7, bytes(0xaa, 131), LARGE_DATA, '9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2'],
])('the HMAC matches RFC 4231, test case %i', (_, key, data, expected) => {
  expect(Buffer.from(hmacSha256(key, data), 'base64url').toString('hex')).toBe(expected)
})

/** The expected signatures come from `printf k1/1800000000/$scope | openssl dgst -sha256 -hmac $secret -binary`. */
describe('the URL', () => {
  test('of a file is signed for its path', () => {
    const url =
      'https://cdn.example/media/k1/1800000000/lDtSCqWJH5WY73ft0dJVPJDfOox1B9tvtKkuFbo2vcQ/path/to/asset456.mp4'
    expect(sign('path/to/asset456.mp4')).toBe(url)
    expect(sign('/path/to/asset456.mp4')).toBe(url)
  })

  test.each(['index.m3u8', 'INDEX.M3U8', 'manifest.mpd'])('of the playlist %s is signed for its directory', (name) => {
    expect(sign(`clips/a/${name}`)).toBe(
      `https://cdn.example/media/k1/1800000000/VYbWX7708dY5Ocl03Omh7kzMFKcqn7GMzYSNe9PpovM/clips/a/${name}`,
    )
  })

  test('with unusual characters is signed in the form that clients send', () => {
    expect(sign('films/100% Häxan %231.mp4')).toBe(
      'https://cdn.example/media/k1/1800000000/mkfAmd8RBXd_FML6jBzhp43_tKEGLUm8bVBldrNfsOA/films/100%25%20H%C3%A4xan%20%231.mp4',
    )
  })

  test('keeps the query and the fragment, which are not signed', () => {
    expect(sign('path/to/asset456.mp4?x=../a//b&y=%2e#t=10')).toBe(
      `${sign('path/to/asset456.mp4')}?x=../a//b&y=%2e#t=10`,
    )
    expect(sign('path/to/asset456.mp4#?')).toBe(`${sign('path/to/asset456.mp4')}#?`)
  })
})

test.each([
  '../a.mp4',
  'a/./b.mp4',
  'a//b.mp4',
  'a/',
  '?x',
  'a/%2e%2E/b.mp4',
  'a%2fb.mp4',
  'a%5Cb.mp4',
  'a%00.mp4',
  'index.m3u8',
  '/manifest.mpd',
  `${'d/'.repeat(32)}a.mp4`,
])('%s cannot be signed', (url) => {
  expect(() => sign(url)).toThrow(UnsignableError)
})

const paths = fc
  .array(fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 6 })
  .map((segments) => segments.join('/').replace(/[?#]/g, '_'))
  .filter((path) => hasPlainSegments(path) && (!isPlaylist(path) || path.includes('/')))
const files = fc.oneof(
  paths.filter((path) => !isPlaylist(path)),
  paths.map((path) => `clips/${path}.m3u8`),
)

describe('the edge', () => {
  const atRoot = createHmacSigner('https://cdn.example', { id: 'k1', secret: toSecret(SECRET) })
  const verify = (target: string) => verifier.verify(target, { k1: SECRET }, EXPIRES - 1)
  /** The request target that a browser sends. */
  const targetOf = (path: string) => new URL(atRoot.sign(path, EXPIRES)).pathname

  test('accepts every signed URL, and clients send it unchanged', () => {
    fc.assert(
      fc.property(files, (path) => {
        const url = atRoot.sign(path, EXPIRES)
        expect(new URL(url).href).toBe(url)
        expect(verify(targetOf(path))).toBe(200)
      }),
    )
  })

  test('rejects a signed URL if any character that the signature covers is changed', () => {
    fc.assert(
      fc.property(
        files,
        fc.nat(),
        fc.constantFrom('a', 'Z', '0', '_', '-', '/', '.', '%', '='),
        (path, seed, character) => {
          const target = targetOf(path)
          const covered = target.length - toCdnPath(path).path.length + scopeOf(toCdnPath(path).path).length
          const index = seed % covered
          fc.pre(target[index] !== character)
          expect(verify(`${target.slice(0, index)}${character}${target.slice(index + 1)}`)).toBe(403)
        },
      ),
    )
  })
})
