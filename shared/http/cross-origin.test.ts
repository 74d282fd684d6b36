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
  ['without headers of a browser', {}],
  ['of the same origin', { 'sec-fetch-site': 'same-origin', origin: `https://${host}` }],
  ['that the user has typed', { 'sec-fetch-site': 'none' }],
  ['of the same origin, from an old browser', { origin: `http://${host}` }],
  ['of a trusted origin', { 'sec-fetch-site': 'cross-site', origin: TRUSTED }],
  ['of a trusted origin, from an old browser', { origin: TRUSTED }],
])('a request %s may change state', async (_, headers: Record<string, string>) => {
  for (const method of ['POST', 'DELETE']) {
    const response = await app.request('/thing', { method, headers: { host, ...headers } })
    expect(response.status).toBe(200)
  }
})

test.each([
  ['another site', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }],
  ['another site, without its origin', { 'sec-fetch-site': 'cross-site' }],
  ['another origin of the same site', { 'sec-fetch-site': 'same-site', origin: 'https://other.example' }],
  ['another port of the same host, from an old browser', { origin: 'http://edge.example:9000' }],
  ['another site, from an old browser', { origin: 'https://evil.example' }],
  ['a sandboxed page', { origin: 'null' }],
])('a page of %s may read, but not change state', async (_, headers: Record<string, string>) => {
  const given = { host, ...headers }
  expect((await app.request('/thing', { headers: given })).status).toBe(200)
  for (const method of ['POST', 'DELETE']) {
    await expectProblem(await app.request('/thing', { method, headers: given }), 403)
  }
})
