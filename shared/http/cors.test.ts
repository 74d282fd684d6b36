import { expect, test } from 'vitest'
import { createTestService } from '../testing/test-service.ts'
import { createBaseApp } from './base-app.ts'
import { allowOrigins } from './cors.ts'

const setUp = (...origins: string[]) => createBaseApp(createTestService(), { middleware: allowOrigins(origins) })
const from = (origin: string, init: RequestInit = {}) => ({ ...init, headers: { ...init.headers, origin } })

test('pages from the allowed origins can read responses and their request ids', async () => {
  const app = setUp('https://a.example', 'https://b.example')
  for (const origin of ['https://a.example', 'https://b.example']) {
    const { status, headers } = await app.request('/healthz', from(origin))
    expect(status).toBe(200)
    expect(headers.get('access-control-allow-origin')).toBe(origin)
    expect(headers.get('access-control-expose-headers')).toBe('x-request-id,retry-after')
  }
  const { headers } = await app.request('/healthz', from('https://c.example'))
  expect(headers.get('access-control-allow-origin')).toBeNull()
})

test('pages can read the additional headers that a service exposes', async () => {
  const middleware = allowOrigins(['https://a.example'], ['view-id'])
  const app = createBaseApp(createTestService(), { middleware })
  const { headers } = await app.request('/healthz', from('https://a.example'))
  expect(headers.get('access-control-expose-headers')).toBe('x-request-id,retry-after,view-id')
})

test('a preflight response lists the methods and can be cached for ten minutes', async () => {
  const preflight = { method: 'OPTIONS', headers: { 'access-control-request-method': 'POST' } }
  const response = await setUp('https://a.example').request('/healthz', from('https://a.example', preflight))
  expect(response.status).toBe(204)
  expect(response.headers.get('access-control-allow-methods')).toBe('GET,HEAD,POST')
  expect(response.headers.get('access-control-max-age')).toBe('600')
})

test('without allowed origins, there is no middleware', () => {
  expect(allowOrigins([])).toEqual([])
})
