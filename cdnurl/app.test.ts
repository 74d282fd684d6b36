import { describe, expect, test } from 'vitest'
import { createMapStore } from '../shared/stores/map-store.ts'
import { describeCatalogue } from '../shared/testing/catalogue-app.test-suite.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { createApp } from './app.ts'
import { seed } from './seed.ts'

describeCatalogue({
  createApp,
  name: 'cdnurl',
  path: '/url',
  examples: [{ url: 'path/to/9.mp4' }, { url: 'https://cdn.example/9.mp4?token=a%20b#t=10' }],
})

test('cdnurl starts with two assets', async () => {
  const response = await setUp().request('/url/assets')
  expect(await response.json()).toEqual({
    assets: [
      { id: '123', url: 'path/to/asset123.mp4' },
      { id: '456', url: 'path/to/asset456.mp4' },
    ],
    next: null,
  })
})

/** Paths that different servers may resolve differently, and paths that do not name a file. */
const ambiguousPaths = [
  './path/to/9.mp4',
  'path/./9.mp4',
  'path/.',
  '../9.mp4',
  'path/../9.mp4',
  'path/..?x=1',
  'path//9.mp4',
  'path/',
  '/',
  '?x=1',
  '#t=10',
  '%2e/9.mp4',
  'path/%2E%2e/9.mp4',
  'path/.%2e/9.mp4',
  'path%2f9.mp4',
  '..%2F9.mp4',
  'path%5c9.mp4',
  '..%5C9.mp4',
  'path/9.mp4%00',
  'path/%0a9.mp4',
]

describe('a URL', () => {
  const post = (url: unknown) => setUp().request('/url/asset/9', jsonRequest({ url }))

  test.each([
    'http://a',
    'HTTPS://cdn.example:8443/9.mp4?x=1&y=2',
    'http://[::1]/9.mp4',
    '9.mp4',
    '/path/to/9.mp4',
    'path/with:colon/9.mp4',
    'video/é%20.mp4',
    'path/.../9..mp4',
    'path/100%/%252e%252e/9.mp4',
    'path/9.mp4?from=../a//b#./c',
    'http://a/x/../y//z/%2e%2e',
  ])('may be %s', async (url) => expect((await post(url)).status).toBe(200))

  test.each([
    '',
    1,
    null,
    'ftp://a/9.mp4',
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    'blob:http://a/x',
    '//host/9.mp4',
    '\\\\host\\9.mp4',
    '/\\host/9.mp4',
    'http:9.mp4',
    'http:/9.mp4',
    'http://',
    'http:///9.mp4',
    'http://a:99999/9.mp4',
    'http://a b/9.mp4',
    ' http://a/9.mp4',
    'path to/9.mp4',
    'java\nscript:alert(1)',
    '\u0000javascript:alert(1)',
    '\tpath/9.mp4',
    ...ambiguousPaths,
  ])('must not be %j', async (url) => {
    await expectProblem(await post(url), 400, ['url'])
  })

  test.each(ambiguousPaths)('must not be %s in a bulk write', async (url) => {
    const body = `${JSON.stringify({ id: '8', url: '8.mp4' })}\n${JSON.stringify({ id: '9', url })}\n`
    const headers = { 'content-type': 'application/x-ndjson', 'content-length': String(body.length) }
    const app = setUp()
    await expectProblem(await app.request('/url/assets', { method: 'POST', headers, body }), 400, ['line 2: url'])
    expect((await app.request('/url/asset/8')).status).toBe(404)
  })

  test('is still returned if an earlier release stored it', async () => {
    const app = setUp([['9', { url: './path/../9.mp4' }]])
    expect(await (await app.request('/url/asset/9')).json()).toEqual({ id: '9', url: './path/../9.mp4' })
  })

  test('may have up to 2,048 characters', async () => {
    for (const start of ['x', 'http://a/']) {
      expect((await post(start.padEnd(2_048, 'x'))).status).toBe(200)
      await expectProblem(await post(start.padEnd(2_049, 'x')), 400, ['url'])
    }
  })
})

function setUp(assets = seed) {
  const invalidations = { publish() {}, subscribe() {} }
  return createApp({ ...createTestService('cdnurl'), store: createMapStore(assets), invalidations })
}
