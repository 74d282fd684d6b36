import { createHmac } from 'node:crypto'
import { mkdir, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Edge, edges, hasNjs, startNginxEdge } from './harness/edges.ts'
import { eventually } from './harness/eventually.ts'
import { connectHttp } from './harness/raw-http.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

const SECRETS: Record<string, string> = { new: 'secret-of-the-new-key', old: 'secret:of=the+old/key' }
const KEYS = Object.entries(SECRETS)
  .map(([kid, secret]) => `${kid}:${secret}`)
  .join(',')
const RETIRED = 'secret-of-a-retired-key'

const VIDEO = Buffer.from(Array.from({ length: 1_000 }, (_, index) => index % 251))
const PLAYLIST = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n360p/index.m3u8\n'
const ODD = "films/100%25%20H%C3%A4xan%20%231%3F+'(&).mp4"

/** The files in the media directory, by path on disk. */
const FILES: Record<string, string | Buffer> = {
  'clips/a/index.m3u8': PLAYLIST,
  'clips/a/360p/index.m3u8': '#EXTM3U\nseg1.ts\n',
  'clips/a/360p/seg1.ts': VIDEO,
  'clips/a/en.vtt': 'WEBVTT\n',
  'clips/a.mp4': VIDEO,
  'clips/ab/seg1.ts': VIDEO,
  'clips/empty.mp4': '',
  'clips/large.mp4': Buffer.alloc(8 * 2 ** 20, 'large'),
  "films/100% Häxan #1?+'(&).mp4": VIDEO,
  'root.mp4': VIDEO,
}
const MODIFIED = new Date('2026-11-01T10:00:00Z')

const soon = () => Math.floor(Date.now() / 1_000) + 600

type Claim = { kid?: string; secret?: string; expires?: number | string; scope?: string; path: string }

/** The signed target of a request. The signature covers `scope`, which defaults to the path. */
function target({ kid = 'new', secret = SECRETS[kid] ?? '', expires = soon(), path, scope = path }: Claim): string {
  return `/${kid}/${expires}/${sign(secret, `${kid}/${expires}/${scope}`)}/${path}`
}

function sign(secret: string, text: string): string {
  return createHmac('sha256', secret).update(text).digest('base64url')
}

const stack = new AsyncDisposableStack()
let root: string
beforeAll(async () => {
  const { path } = stack.use(await createTempDirectory('media'))
  root = join(path, 'media')
  for (const [name, content] of Object.entries(FILES)) {
    const file = join(root, name)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, content)
    await utimes(file, MODIFIED, MODIFIED)
  }
  await writeFile(join(path, 'outside.mp4'), VIDEO)
})
afterAll(() => stack.disposeAsync())

describe.each(edges)('$edge', ({ isInstalled, start }) => {
  if (!isInstalled) return test.skip('is not installed', () => {})
  let edge: Edge
  beforeAll(async () => {
    edge = stack.use(await start({ keys: KEYS, root }))
  })

  const get = (claim: Claim, headers: Record<string, string> = {}, method = 'GET') =>
    fetch(`${edge.url}${target(claim)}`, { headers, method })
  const video = (headers?: Record<string, string>, method?: string) => get({ path: 'clips/a.mp4' }, headers, method)

  /** Sends the target unchanged, because fetch would normalize it. */
  async function statusOf(target: string, method = 'GET'): Promise<number> {
    using connection = await connectHttp(
      edge.url,
      `${method} ${target} HTTP/1.1\r\nhost: cdn\r\nconnection: close\r\n\r\n`,
    )
    return (await connection.response()).status
  }

  describe('serves', () => {
    test("a playlist, and everything that it refers to, under its directory's signature", async () => {
      const base = new URL(`${edge.url}${target({ path: 'clips/a/index.m3u8', scope: 'clips/a/' })}`)
      const playlist = await fetch(base)
      expect([playlist.status, await playlist.text()]).toEqual([200, PLAYLIST])
      expect(playlist.headers.get('content-type')).toBe('application/vnd.apple.mpegurl; charset=utf-8')
      const rendition = await fetch(new URL('360p/index.m3u8', base))
      expect(rendition.status).toBe(200)
      const segment = await fetch(new URL('seg1.ts', rendition.url))
      expect([segment.status, segment.headers.get('content-type')]).toEqual([200, 'video/mp2t'])
      expect(Buffer.from(await segment.arrayBuffer())).toEqual(VIDEO)
      expect((await fetch(new URL('en.vtt', base))).headers.get('content-type')).toBe('text/vtt; charset=utf-8')
    })

    test('a file whose path is signed', async () => {
      const response = await video()
      expect(response.status).toBe(200)
      expect(Buffer.from(await response.arrayBuffer())).toEqual(VIDEO)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-type': 'video/mp4',
        'content-length': '1000',
        'accept-ranges': 'bytes',
        'last-modified': MODIFIED.toUTCString(),
        'access-control-allow-origin': '*',
        'x-content-type-options': 'nosniff',
      })
    })

    test('a file at the root', async () => {
      expect((await get({ path: 'root.mp4' })).status).toBe(200)
    })

    test('a path with percent-encoded characters', async () => {
      const response = await get({ path: ODD })
      expect([response.status, (await response.bytes()).length]).toEqual([200, 1_000])
      expect((await get({ path: ODD, scope: 'films/' })).status).toBe(200)
    })

    test('an empty file', async () => {
      const response = await get({ path: 'clips/empty.mp4' })
      expect([response.status, await response.text()]).toEqual([200, ''])
    })

    test('a HEAD request without a response body', async () => {
      const response = await video({}, 'HEAD')
      expect([response.status, await response.text()]).toEqual([200, ''])
      expect(response.headers.get('content-length')).toBe('1000')
    })

    test('a signed URL with a query', async () => {
      expect(await statusOf(`${target({ path: 'clips/a.mp4' })}?x=../y//%00`)).toBe(200)
    })

    test('an uncacheable 404 for a missing file, a directory, and a path below a file', async () => {
      for (const path of ['clips/missing.mp4', 'clips/a', 'clips/a.mp4/x', 'clips']) {
        const response = await get({ path })
        expect([path, response.status, response.headers.get('cache-control')]).toEqual([path, 404, 'no-store'])
      }
    })
  })

  describe('responds to a range request', () => {
    test.each([
      ['bytes=0-9', 0, 9],
      ['bytes=990-', 990, 999],
      ['bytes=-5', 995, 999],
      ['bytes=-5000', 0, 999],
      ['bytes=500-5000', 500, 999],
    ])('for %s with that part of the file', async (range, start, end) => {
      const response = await video({ range })
      expect(response.status).toBe(206)
      expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end}/1000`)
      expect(Buffer.from(await response.arrayBuffer())).toEqual(VIDEO.subarray(start, end + 1))
    })

    test.each(['bytes=0-1,5-6', 'bytes=0-0,-1'])('for multiple ranges (%s) with the whole file', async (range) => {
      const response = await video({ range })
      expect([response.status, (await response.bytes()).length]).toEqual([200, 1_000])
    })

    test.each(['bytes=1000-', 'bytes=5000-6000', 'bytes=-0'])('for %s with 416', async (range) => {
      const response = await video({ range })
      expect([response.status, response.headers.get('content-range')]).toEqual([416, 'bytes */1000'])
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
      expect(response.headers.get('cache-control')).toContain('no-store')
    })

    test.each(['bytes=5-1', 'bytes=-', 'bytes=a-b', 'bytes=0-9x', 'items=0-9', 'bytes=99999999999999999999-', 'bytes'])(
      'for %s with the whole file or 416',
      async (range) => {
        expect([200, 416]).toContain((await video({ range })).status)
      },
    )

    test('for a segment only if the signature covers its directory', async () => {
      const path = 'clips/a/360p/seg1.ts'
      const range = { range: 'bytes=0-9' }
      expect((await get({ path, scope: 'clips/a/' }, range)).status).toBe(206)
      expect((await get({ path, scope: 'clips/ab/' }, range)).status).toBe(403)
    })
  })

  describe('responds to a conditional request', () => {
    test('with 304 if the validator is current', async () => {
      const etag = (await video()).headers.get('etag') ?? ''
      const modified = MODIFIED.toUTCString()
      const conditions: Record<string, string>[] = [
        { 'if-none-match': etag },
        { 'if-none-match': `"x", W/${etag}` },
        { 'if-none-match': '*' },
        { 'if-modified-since': modified },
      ]
      for (const condition of conditions) {
        const response = await video({ ...condition, 'cache-control': 'no-cache' })
        expect([condition, response.status, response.headers.get('etag')]).toEqual([condition, 304, etag])
      }
      const unknown = await video({ 'if-none-match': '"x"', 'if-modified-since': modified })
      expect(unknown.status).toBe(200)
    })

    test('for a range with the whole file if the validator differs', async () => {
      const etag = (await video()).headers.get('etag') ?? ''
      expect((await video({ range: 'bytes=0-9', 'if-range': etag })).status).toBe(206)
      expect((await video({ range: 'bytes=0-9', 'if-range': MODIFIED.toUTCString() })).status).toBe(206)
      expect((await video({ range: 'bytes=0-9', 'if-range': '"x"' })).status).toBe(200)
    })
  })

  test('lets clients cache a file until its URL expires, and a playlist for a minute', async () => {
    const ageOf = (response: Response) =>
      /^public, max-age=(\d+)$/.exec(response.headers.get('cache-control') ?? '')?.[1]
    const age = Number(ageOf(await video()))
    expect(age).toBeGreaterThan(570)
    expect(age).toBeLessThanOrEqual(600)
    expect(ageOf(await get({ path: 'clips/a/index.m3u8', scope: 'clips/a/' }))).toBe('60')
    expect(Number(ageOf(await get({ path: 'clips/a/index.m3u8', expires: soon() - 570 })))).toBeLessThanOrEqual(30)
  })

  test('lets pages of any origin read files and errors, and request ranges', async () => {
    const refused = await fetch(`${edge.url}/x`)
    expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([403, '*'])
    const preflight = await video({ 'access-control-request-headers': 'range' }, 'OPTIONS')
    expect(preflight.status).toBe(204)
    expect(Object.fromEntries(preflight.headers)).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'GET, HEAD',
      'access-control-allow-headers': 'range',
    })
  })

  test('returns 404 for a long path, and refuses a very long one', async () => {
    expect(await statusOf(target({ path: 'a'.repeat(7_000) }))).toBe(404)
    expect([403, 414, 431]).toContain(await statusOf(`/${'a'.repeat(40_000)}`))
  })

  test('still serves files after clients have disconnected in the middle of a response', async () => {
    for (let round = 0; round < 20; round += 1) {
      const controller = new AbortController()
      const url = `${edge.url}${target({ path: 'clips/large.mp4' })}`
      const { body } = await fetch(url, { signal: controller.signal })
      await body?.getReader().read()
      controller.abort()
    }
    const response = await get({ path: 'clips/large.mp4' })
    expect((await response.bytes()).length).toBe(8 * 2 ** 20)
  })

  test.each(['POST', 'PUT', 'DELETE', 'PROPFIND'])('does not allow %s', async (method) => {
    const response = await video({}, method)
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS'])
  })

  describe('refuses with 403', () => {
    const path = 'clips/a.mp4'
    const expires = soon()
    const signature = sign(SECRETS.new ?? '', `new/${expires}/${path}`)
    const url = `/new/${expires}/${signature}/${path}`
    const changed = `${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`
    const standard = createHmac('sha256', SECRETS.new ?? '')
      .update(`new/${expires}/${path}`)
      .digest('base64')
    const deep = `${'d/'.repeat(40)}a.mp4`

    const cases: [string, string][] = [
      ['a wrong signature', url.replace(signature, changed)],
      ['a truncated signature', url.replace(signature, signature.slice(0, -1))],
      ['a signature that is truncated to one character', url.replace(signature, signature.slice(0, 1))],
      ['no signature', url.replace(signature, '')],
      ['no signature and no path segment for it', `/new/${expires}/${path}`],
      ['a signature with more characters', url.replace(signature, `${signature}A`)],
      ['a signature with padding', url.replace(signature, `${signature}=`)],
      ['a signature in standard base64', url.replace(signature, encodeURIComponent(standard))],
      ['a signature in upper case', url.replace(signature, signature.toUpperCase())],
      [
        'a percent-encoded signature',
        url.replace(signature, `%${signature.charCodeAt(0).toString(16)}${signature.slice(1)}`),
      ],
      ['a signature in the query', `/${path}?kid=new&expires=${expires}&signature=${signature}`],
      ["another key's signature", target({ secret: SECRETS.old ?? '', path })],
      ["another key's id", url.replace('/new/', '/old/')],
      ['an unknown key id', target({ kid: 'unknown', secret: SECRETS.new ?? '', path })],
      ['an unknown key id with an empty secret', target({ kid: 'unknown', secret: '', path })],
      ['an unknown key id with the secret "undefined"', target({ kid: 'unknown', secret: 'undefined', path })],
      ['an unknown key id with the secret "null"', target({ kid: 'unknown', secret: 'null', path })],
      ['an inherited property as key id', target({ kid: 'constructor', secret: String(Object), path })],
      ['an inherited property as key id, with an empty secret', target({ kid: 'toString', secret: '', path })],
      ['the prototype as key id', target({ kid: '__proto__', secret: String({}), path })],
      ['an empty key id with an empty secret', target({ kid: '', secret: '', path })],
      ['an empty key id with a secret', target({ kid: '', secret: SECRETS.new ?? '', path })],
      ['a key id with a dot', target({ kid: '.', secret: '', path })],
      ['two key ids', target({ kid: 'new,old', secret: SECRETS.new ?? '', path })],
      ['the key id in upper case', url.replace('/new/', '/NEW/')],
      ['a key id with encoded characters', url.replace('/new/', '/%6eew/')],
      ['a retired key', target({ kid: 'retired', secret: RETIRED, path })],
      ["another file's path", url.replace(path, 'clips/empty.mp4')],
      ["another directory's path", target({ path: 'clips/a/index.m3u8', scope: 'films/' })],
      ['a sibling directory with the same prefix', target({ path: 'clips/ab/seg1.ts', scope: 'clips/a/' })],
      ['a sibling directory under a scope without a slash', target({ path: 'clips/ab/seg1.ts', scope: 'clips/a' })],
      ['a file whose name begins with the scope', target({ path: 'clips/a.mp4', scope: 'clips/a' })],
      ['a file below a path that is signed as a file', target({ path: 'clips/a/360p/seg1.ts', scope: 'clips/a' })],
      ['a file above the signed directory', target({ path: 'clips/a.mp4', scope: 'clips/a/' })],
      [
        'a segment whose directory is not signed',
        target({ path: 'clips/a/360p/seg1.ts', scope: 'clips/a/index.m3u8' }),
      ],
      ['a signature with an empty scope', target({ path, scope: '' })],
      ['a signature with the scope "/"', target({ path, scope: '/' })],
      ['a later expiry', url.replace(`/${expires}/`, `/${expires + 1}/`)],
      ['an expiry far in the future', url.replace(`/${expires}/`, '/9999999999/')],
      ['an earlier expiry', url.replace(`/${expires}/`, '/1/')],
      ['a signed expiry with too many digits', target({ expires: '99999999999', path })],
      ['a signed expiry that is infinite', target({ expires: 'Infinity', path })],
      ['a signed expiry in another notation', target({ expires: '9e9', path })],
      ['a signed hexadecimal expiry', target({ expires: '0xffffffff', path })],
      ['a signed expiry with a leading zero', target({ expires: `0${expires}`, path })],
      ['a signed expiry with a sign', target({ expires: `+${expires}`, path })],
      ['a signed negative expiry', target({ expires: '-1', path })],
      ['a signed expiry with a fraction', target({ expires: `${expires}.5`, path })],
      ['a signed expiry that is not a number', target({ expires: 'never', path })],
      ['a signed empty expiry', target({ expires: '', path })],
      ['an unsigned path', `/${path}`],
      ['the root', '/'],
      ['a signature without a path', target({ path: '' })],
      ['a double slash in front of the path', target({ path: `/${path}` })],
      ['a double slash in the path', target({ path: 'clips//a.mp4', scope: 'clips/' })],
      ['a signed double slash', target({ path: 'clips//a.mp4' })],
      ['a double slash in front of the key id', `/${url}`],
      ['a trailing slash', target({ path: 'clips/a/' })],
      ['a dot segment', target({ path: 'clips/./a.mp4', scope: 'clips/' })],
      ['a parent segment', target({ path: 'clips/a/../ab/seg1.ts', scope: 'clips/a/' })],
      ['a signed parent segment', target({ path: 'clips/a/../ab/seg1.ts' })],
      ['a parent segment at the end', target({ path: 'clips/a/..', scope: 'clips/a/' })],
      ['an encoded parent segment', target({ path: 'clips/a/%2e%2e/ab/seg1.ts', scope: 'clips/a/' })],
      [
        'a parent segment that is encoded in upper case',
        target({ path: 'clips/a/%2E%2E/ab/seg1.ts', scope: 'clips/a/' }),
      ],
      ['a parent segment that is partly encoded', target({ path: 'clips/a/.%2e/ab/seg1.ts', scope: 'clips/a/' })],
      ['an encoded dot segment', target({ path: 'clips/%2e/a.mp4', scope: 'clips/' })],
      ['a path that leaves the media directory', target({ path: 'clips/a/../../../outside.mp4', scope: 'clips/a/' })],
      [
        'an encoded path that leaves the media directory',
        target({ path: 'clips/%2e%2e/%2e%2e/outside.mp4', scope: 'clips/' }),
      ],
      ['an encoded slash', target({ path: 'clips%2fa.mp4' })],
      ['an encoded slash in the directory', target({ path: 'clips/a%2F360p/seg1.ts', scope: 'clips/' })],
      ['a parent segment between encoded slashes', target({ path: 'clips/a%2f..%2fab%2fseg1.ts', scope: 'clips/' })],
      ['an encoded backslash', target({ path: 'clips%5ca.mp4' })],
      ['an encoded line break', target({ path: 'clips/a.mp4%0a' })],
      ['an encoded carriage return and header', target({ path: 'clips/a.mp4%0d%0aset-cookie:x' })],
      ['a path with over 32 segments', target({ path: deep })],
      ['a path with over 32 segments under a directory', target({ path: deep, scope: 'd/' })],
      ['an unsigned path after a signed one', `${url}/../../ab/seg1.ts`],
      ['a path in a different case', target({ path: 'CLIPS/a.mp4', scope: 'clips/' })],
      ['a path whose encoding differs from the signed one', url.replace('clips', '%63lips')],
      ['a doubly encoded parent segment that the signature does not cover', url.replace(path, '%252e%252e/root.mp4')],
    ]

    test.each(cases)('%s', async (_, target) => {
      expect(await statusOf(target)).toBe(403)
    })

    test.each([
      ['a backslash', target({ path: 'clips\\a.mp4' })],
      ['a parent segment between backslashes', target({ path: 'clips/a\\..\\ab\\seg1.ts', scope: 'clips/' })],
      ['an encoded NUL', target({ path: 'clips/a.mp4%00' })],
      ['an encoded NUL in front of an extension', target({ path: 'clips/a.mp4%00.ts', scope: 'clips/' })],
      ['a NUL', target({ path: 'clips/a.mp4\0' })],
      ['an invalid percent-encoding', target({ path: 'clips/%zz.mp4' })],
      ['a percent sign at the end', target({ path: 'clips/a.mp4%' })],
      ['a path above the root', '/../../../etc/passwd'],
      ['an encoded path above the root', '/%2e%2e/%2e%2e/etc/passwd'],
      ['a raw character beyond ASCII', target({ path: 'films/Häxan.mp4', scope: 'films/' })],
      ['a fragment', `${url}#x`],
      ['an unsigned URL in absolute form', `http://cdn/${path}`],
    ])('or with 400: %s', async (_, target) => {
      // Servers may reject a malformed target, or a path above the root, before they check the signature.
      expect([400, 403]).toContain(await statusOf(target))
    })

    test('a HEAD request for a file in a sibling directory', async () => {
      const response = await get({ path: 'clips/ab/seg1.ts', scope: 'clips/a/' }, {}, 'HEAD')
      expect(response.status).toBe(403)
    })

    test('a URL in which any one character is changed', async () => {
      const indexes = Array.from(url, (_, index) => index).filter((index) => url[index] !== '/')
      const others = indexes.map(
        (index) => `${url.slice(0, index)}${url[index] === 'x' ? 'y' : 'x'}${url.slice(index + 1)}`,
      )
      const statuses = await Promise.all(others.map((other) => statusOf(other)))
      expect([...new Set(statuses)]).toEqual([403])
    })
  })

  describe('rejects an expired URL', () => {
    const expired = (claim: Claim) => statusOf(target({ ...claim, expires: soon() - 601 }))

    test('with an uncacheable 410', async () => {
      const response = await get({ path: 'clips/a.mp4', expires: soon() - 601 })
      expect([response.status, response.headers.get('cache-control')]).toEqual([410, 'no-store'])
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
    })

    test('with 410 even for segments and missing files', async () => {
      expect(await expired({ path: 'clips/a/360p/seg1.ts', scope: 'clips/a/' })).toBe(410)
      expect(await expired({ path: 'clips/missing.mp4' })).toBe(410)
    })

    test('with 403 if its signature is also wrong', async () => {
      expect(await expired({ path: 'clips/a.mp4', scope: 'clips/b.mp4' })).toBe(403)
      expect(await expired({ kid: 'unknown', path: 'clips/a.mp4' })).toBe(403)
    })

    test('that it accepted until the expiry', async () => {
      const expires = Math.floor(Date.now() / 1_000) + 3
      const url = target({ path: 'clips/a.mp4', expires })
      expect(await statusOf(url)).toBe(200)
      await eventually(async () => expect(await statusOf(url)).toBe(410))
      expect(Date.now() / 1_000).toBeGreaterThanOrEqual(expires)
    })
  })

  test('accepts both keys during a rotation', async () => {
    for (const kid of ['new', 'old']) {
      expect((await get({ kid, path: 'clips/a.mp4' })).status).toBe(200)
      expect((await get({ kid, path: 'clips/a/360p/seg1.ts', scope: 'clips/a/' })).status).toBe(200)
    }
  })

  test('logs the key id and the path, but no signature', async () => {
    const url = target({ kid: 'old', path: 'clips/ab/seg1.ts', scope: 'clips/' })
    await fetch(`${edge.url}${url}`)
    await eventually(async () => expect(await edge.log()).toMatch(/"old".*"clips\/ab\/seg1\.ts".*200/))
    expect(await edge.log()).not.toContain(url.split('/')[3])
  })
})

describe.skipIf(!hasNjs)('nginx', () => {
  test('accepts a new key, and refuses a retired one, after a reload', async () => {
    await using edge = await startNginxEdge({ keys: `retired:${RETIRED}`, root })
    const statusOf = async (kid: string, secret: string) =>
      (await fetch(`${edge.url}${target({ kid, secret, path: 'clips/a.mp4' })}`)).status
    expect([await statusOf('retired', RETIRED), await statusOf('new', SECRETS.new ?? '')]).toEqual([200, 403])
    await edge.reload(KEYS)
    await eventually(async () => expect(await statusOf('retired', RETIRED)).toBe(403))
    expect(await statusOf('new', SECRETS.new ?? '')).toBe(200)
  })
})
