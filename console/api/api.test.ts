import { expect, test } from 'vitest'
import type { InstanceResponse } from '../../shared/client/instance-response.ts'
import { createBaseApp } from '../../shared/http/base-app.ts'
import { expectProblem } from '../../shared/testing/expect-problem.ts'
import { createTestService } from '../../shared/testing/test-service.ts'
import { createApiPage } from './api.ts'

const document = { openapi: '3.1.0', info: { title: 'metadata', description: 'About it' }, servers: [{ url: '/' }] }
const down: InstanceResponse = { url: 'http://a:8081', response: undefined }
const up: InstanceResponse = { url: 'http://b:8081', response: { status: 200, body: document } }

const appWith = (...responses: InstanceResponse[]) =>
  createBaseApp(createTestService('play')).route(
    '/',
    createApiPage({ metadata: { name: 'metadata', getAll: async () => responses } }),
  )

test("a service's OpenAPI document links to the instance where you can try its calls", async () => {
  const response = await appWith(down, up).request('/api/documents/metadata')
  expect(await response.json()).toEqual({
    ...document,
    info: { title: 'metadata', description: expect.stringContaining('(http://b:8081/docs)') },
    servers: [{ url: 'http://b:8081' }],
  })
})

test.each([
  ['is down', []],
  ['returns something other than its document', [{ ...up, response: { status: 404, body: { status: 'Not found' } } }]],
])('/api/documents returns 503 for a service that %s', async (_, responses) => {
  await expectProblem(await appWith(down, ...responses).request('/api/documents/metadata'), 503)
})

test.each(['play', 'constructor', 'metadata%2f..'])('/api/documents/%s returns 404', async (name) => {
  await expectProblem(await appWith(up).request(`/api/documents/${name}`), 404)
})

test('the API page loads scripts only from its own origin, and lists all services', async () => {
  const app = appWith(up)
  const page = await app.request('/api')
  expect(page.headers.get('content-security-policy')).toContain("script-src 'self';")
  expect(await page.text()).not.toMatch(/<script>|https?:\/\//)
  const start = await (await app.request('/api/start.js')).text()
  for (const url of ['/openapi.json', '/api/documents/metadata', '/api/documents/queue-listener'])
    expect(start).toContain(`"${url}"`)
})
