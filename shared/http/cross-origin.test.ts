import { expect, test } from 'vitest'
import { expectProblem } from '../testing/expect-problem.ts'
import { createTestService } from '../testing/test-service.ts'
import { createBaseApp } from './base-app.ts'

const TRUSTED = 'https://tv.example'
const app = createBaseApp(createTestService(), { isTrustedOrigin: (origin) => origin === TRUSTED })
  .get('/thing', (c) => c.json({}))
  .post('/thing', (c) => c.json({}))
  .delete('/thing', (c) => c.json({}))

const host = 'edge.example:8080'

test.each([
  ['without browser headers', {}],
  ['from the same origin', { 'sec-fetch-site': 'same-origin', origin: `https://${host}` }],
  ['from the address bar', { 'sec-fetch-site': 'none' }],
  ['from the same origin in an old browser', { origin: `http://${host}` }],
  ['from a trusted origin', { 'sec-fetch-site': 'cross-site', origin: TRUSTED }],
  ['from a trusted origin in an old browser', { origin: TRUSTED }],
])('a request %s may change state', async (_, headers: Record<string, string>) => {
  for (const method of ['POST', 'DELETE']) {
    const response = await app.request('/thing', { method, headers: { host, ...headers } })
    expect(response.status).toBe(200)
  }
})

test.each([
  ['another site', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }],
  ['another site that sends no origin', { 'sec-fetch-site': 'cross-site' }],
  ['another origin on the same site', { 'sec-fetch-site': 'same-site', origin: 'https://other.example' }],
  ['another port on the same host in an old browser', { origin: 'http://edge.example:9000' }],
  ['another site in an old browser', { origin: 'https://evil.example' }],
  ['a sandboxed frame', { origin: 'null' }],
])('a page from %s may read, but not change state', async (_, headers: Record<string, string>) => {
  const requestHeaders = { host, ...headers }
  expect((await app.request('/thing', { headers: requestHeaders })).status).toBe(200)
  for (const method of ['POST', 'DELETE']) {
    await expectProblem(await app.request('/thing', { method, headers: requestHeaders }), 403)
  }
})
