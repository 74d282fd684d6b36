import { createVerify, generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { toSecret } from '../../shared/runtime/secret.ts'
import { UnsignableError } from '../../shared/signing/signer.ts'
import { type CloudFrontKey, createCloudFrontSigner } from './cloudfront-signer.ts'

const EXPIRES = 1_800_000_000
const BASE = 'https://d111111abcdef8.cloudfront.net'
const { publicKey, privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2_048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})

function sign(asset: string, policy: CloudFrontKey['policy'], base = BASE): URL {
  const key = { keyPairId: 'K2JCJMDEHXQW5F', privateKey: toSecret(privateKey), policy }
  const url = createCloudFrontSigner(base, key).sign(asset, EXPIRES)
  // Browsers must send exactly what is signed.
  expect(new URL(url).href).toBe(url)
  return new URL(url)
}

/** Decodes CloudFront's variant of base64. */
function decode(text: string | null): Buffer {
  const standard = (text ?? '').replace(/[-_~]/g, (character) => ({ '-': '+', _: '=', '~': '/' })[character] ?? '')
  return Buffer.from(standard, 'base64')
}

/** Verifies the signature as CloudFront does: over the policy, with the key pair's public key. */
function isSigned({ searchParams }: URL, policy: string): boolean {
  return createVerify('RSA-SHA1')
    .update(policy)
    .verify(publicKey, decode(searchParams.get('Signature')))
}

/** The policy that CloudFront assumes if the URL contains none. */
function cannedPolicy(resource: string, expires = EXPIRES): string {
  return `{"Statement":[{"Resource":"${resource}","Condition":{"DateLessThan":{"AWS:EpochTime":${expires}}}}]}`
}

/** Removes CloudFront's own query parameters from a URL. A signature covers what remains. */
function resourceOf(url: URL): string {
  return url.href.replace(/[?&](Expires|Policy)=.*$/, '')
}

describe('a canned policy', () => {
  test.each([
    ['path/to/asset456.mp4', `${BASE}/path/to/asset456.mp4`],
    ['clips/a/index.m3u8', `${BASE}/clips/a/index.m3u8`],
    ['films/100% Häxan %231 %3F.mp4', `${BASE}/films/100%25%20H%C3%A4xan%20%231%20%3F.mp4`],
    ["films/a+b&c='d',(e)*.mp4", `${BASE}/films/a%2Bb%26c%3D'd'%2C(e)*.mp4`],
    ['a.mp4?x=1&y=a%2Fb', `${BASE}/a.mp4?x=1&y=a%2Fb`],
  ])('covers the URL of %s', (asset, resource) => {
    const url = sign(asset, 'canned')
    expect(resourceOf(url)).toBe(resource)
    expect(isSigned(url, cannedPolicy(resource))).toBe(true)
    expect([url.searchParams.get('Expires'), url.searchParams.get('Key-Pair-Id')]).toEqual([
      String(EXPIRES),
      'K2JCJMDEHXQW5F',
    ])
    expect(url.searchParams.has('Policy')).toBe(false)
  })

  test('does not cover another URL or a later time', () => {
    const url = sign('a.mp4', 'canned')
    expect(isSigned(url, cannedPolicy(`${BASE}/b.mp4`))).toBe(false)
    expect(isSigned(url, cannedPolicy(`${BASE}/a.mp4`, EXPIRES + 1))).toBe(false)
  })
})

describe('a custom policy', () => {
  const policyOf = (url: URL) => decode(url.searchParams.get('Policy')).toString()

  test.each([
    ['clips/a/index.m3u8', 'clips/a/*'],
    ['clips/a/index.m3u8?x=1', 'clips/a/*'],
    ['a+b/Häxan/manifest.mpd', 'a%2Bb/H%C3%A4xan/*'],
  ])('for %s covers %s', (asset, resource) => {
    const url = sign(asset, 'custom')
    expect(isSigned(url, policyOf(url))).toBe(true)
    expect(JSON.parse(policyOf(url))).toEqual({
      Statement: [{ Resource: `${BASE}/${resource}`, Condition: { DateLessThan: { 'AWS:EpochTime': EXPIRES } } }],
    })
    expect(url.searchParams.has('Expires')).toBe(false)
  })

  test.each(['path/to/asset456.mp4', 'films/1?quality=hd', 'clips/*.mp4'])(
    'is not used for %s, which is not a playlist',
    (asset) => {
      const url = sign(asset, 'custom')
      expect(url.href).toBe(sign(asset, 'canned').href)
    },
  )

  test("covers the base URL's path, with the signed URL's percent-encoding", () => {
    const url = sign('clips/a/index.m3u8', 'custom', `${BASE}/a+b/`)
    expect(resourceOf(url)).toBe(`${BASE}/a%2Bb/clips/a/index.m3u8`)
    expect(policyOf(url)).toContain(`"${BASE}/a%2Bb/clips/a/*"`)
  })

  test.each(['index.m3u8', 'clips/*/index.m3u8', 'clips/%2A/index.m3u8'])('cannot cover %s', (asset) => {
    expect(() => sign(asset, 'custom')).toThrow(UnsignableError)
  })
})

test.each(['../a.mp4', 'a//b.mp4', 'a%2fb.mp4', 'a%FF.mp4'])('%s cannot be signed', (asset) => {
  for (const policy of ['canned', 'custom'] as const) expect(() => sign(asset, policy)).toThrow(UnsignableError)
})

test('a fragment comes after the signature', () => {
  expect(sign('a.mp4?x=1#t=10', 'canned').hash).toBe('#t=10')
})
