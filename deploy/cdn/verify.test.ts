import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import verifier from './verify.js'

const NOW = 1_800_000_000
const SECRET = 'secret-of-the-first-key'

/** A URL for `clips/a.mp4`, signed with `secret`. */
function target(kid: string, secret: string, expires = NOW + 1): string {
  const signature = createHmac('sha256', secret).update(`${kid}/${expires}/clips/a.mp4`).digest('base64url')
  return `/${kid}/${expires}/${signature}/clips/a.mp4`
}

test('a signature made with openssl is accepted', () => {
  const url = '/k1/1800000000/VYbWX7708dY5Ocl03Omh7kzMFKcqn7GMzYSNe9PpovM/clips/a/360p/seg1.ts'
  expect(verifier.verify(url, { k1: SECRET }, NOW - 1)).toBe(200)
  expect(verifier.verify(url, { k1: SECRET }, NOW)).toBe(410)
  expect(verifier.verify(url, { k1: `${SECRET}x` }, NOW - 1)).toBe(403)
})

describe('a key', () => {
  test.each(['', 'short', 'fifteen-letters'])('with the secret %j verifies nothing', (secret) => {
    expect(verifier.verify(target('k1', secret), { k1: secret }, NOW)).toBe(403)
  })

  test('that is an inherited property verifies nothing', () => {
    const keys: Record<string, string> = Object.create({ k1: SECRET })
    expect(verifier.verify(target('k1', SECRET), keys, NOW)).toBe(403)
  })

  test('that is unknown verifies nothing', () => {
    expect(verifier.verify(target('k1', SECRET), {}, NOW)).toBe(403)
  })
})

test('the description of a URL omits the signature', () => {
  expect(verifier.describe(`${target('k1', SECRET)}?x=1`)).toEqual({ keyId: 'k1', path: 'clips/a.mp4' })
  expect(verifier.describe('/clips/a.mp4')).toEqual({ keyId: '-', path: '-' })
})

test('responses may be cached until the URL expires, and playlists for at most a minute', () => {
  expect(verifier.maxAge(target('k1', SECRET, NOW + 100), NOW + 0.5)).toBe(99)
  expect(verifier.maxAge(target('k1', SECRET, NOW - 100), NOW)).toBe(0)
  const playlist = target('k1', SECRET, NOW + 100).replace('a.mp4', 'a.M3U8')
  expect([verifier.maxAge(playlist, NOW), verifier.maxAge(playlist, NOW + 70)]).toEqual([60, 30])
})

test('the module uses only syntax that njs 0.7.9 supports', () => {
  const code = readFileSync(new URL('verify.js', import.meta.url), 'utf8')
  expect(code).not.toMatch(/\bfor \(.* of |\?\.|\?\?|\.\.\.[a-z]|\bconst [{[]|\basync\b|\bclass\b|node:/)
})
