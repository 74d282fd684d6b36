import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ServiceName } from '../services.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { serviceNames } from './harness/each-service.ts'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { startIsolated } from './harness/isolated.ts'

const authorization = 'Bearer token'
const INVALID_ID = '-'
/** Comparing the length of this value with a limit throws a TypeError. */
const INCOMPARABLE = { length: { toString: 0, valueOf: 0 } }
const errors = expect.toSatisfy(isFieldErrors)
const invalid = { status: 'Invalid request', errors }
const unavailable = { status: 'Service unavailable' }

type Case = [service: ServiceName, status: number, method: string, path: string, init: RequestInit, body: object]

/** Errors common to all services. */
const common: Case[] = serviceNames.flatMap((name): Case[] => [
  [name, 404, 'GET', '/unknown', {}, { status: 'Not found' }],
  [name, 405, 'DELETE', '/healthz', {}, { status: 'Method not allowed' }],
])

const own: Case[] = [
  ['play', 400, 'POST', `/play/asset/${INVALID_ID}/user/8`, {}, invalid],
  ['play', 404, 'POST', '/play/asset/unknown/user/8', {}, { id: 'unknown', status: 'Asset not found' }],
  ['play', 400, 'GET', '/catalogue?limit=0', {}, invalid],
  ['play', 400, 'GET', '/series?from=2026-11-20T00:00:00Z&to=2026-11-19T00:00:00Z', {}, invalid],
  ['reporting', 400, 'POST', '/events/lookup', jsonRequest({ assets: INCOMPARABLE, users: [] }), invalid],
  ['metadata', 400, 'POST', '/content/asset/1', jsonRequest({ title: INCOMPARABLE }, { authorization }), invalid],
  ['reporting', 400, 'GET', `/events/asset/${INVALID_ID}`, {}, invalid],
  ['reporting', 404, 'GET', '/events/asset/unknown', {}, { id: 'unknown', status: 'Asset not found' }],
  ['reporting', 404, 'GET', '/events/user/unknown', {}, { id: 'unknown', status: 'User not found' }],
  ['reporting', 401, 'POST', '/events/asset/456/user/8', {}, { status: 'Unauthorized', errors }],
  ...bodyErrors('reporting', '/events'),
  [
    'reporting',
    409,
    'POST',
    '/events',
    jsonRequest(batchAt(7), { authorization }),
    {
      status: 'Position mismatch',
      position: expect.toSatisfy((position) => position === null || position.stream !== undefined),
    },
  ],
  ...catalogueErrors('metadata', '/content'),
  ...catalogueErrors('cdnurl', '/url'),
]

function catalogueErrors(name: ServiceName, prefix: string): Case[] {
  const notFound = { id: 'unknown', status: 'Asset not found' }
  return [
    [name, 400, 'GET', `${prefix}/asset/${INVALID_ID}`, {}, invalid],
    [name, 400, 'GET', `${prefix}/assets?limit=0`, {}, invalid],
    [name, 401, 'DELETE', `${prefix}/asset/456`, {}, { status: 'Unauthorized', errors }],
    [name, 404, 'GET', `${prefix}/asset/unknown`, {}, notFound],
    [name, 404, 'DELETE', `${prefix}/asset/unknown`, { headers: { authorization } }, notFound],
    ...bodyErrors(name, `${prefix}/asset/456`),
  ]
}

function bodyErrors(name: ServiceName, path: string): Case[] {
  const chunked: RequestInit = {
    body: new Blob(['{}']).stream(),
    duplex: 'half',
    headers: { authorization, 'content-type': 'application/json' },
  }
  return [
    [name, 400, 'POST', path, jsonRequest('{', { authorization }), invalid],
    [name, 400, 'POST', path, jsonRequest({ unknown: 1 }, { authorization }), invalid],
    [name, 401, 'POST', path, jsonRequest({}), { status: 'Unauthorized', errors }],
    [name, 411, 'POST', path, chunked, { status: 'Length required', errors }],
    [
      name,
      413,
      'POST',
      path,
      jsonRequest(' '.repeat(20 * 2 ** 20 + 1), { authorization }),
      { status: 'Content too large', errors },
    ],
    [
      name,
      415,
      'POST',
      path,
      jsonRequest({}, { authorization, 'content-type': 'text/plain' }),
      {
        status: 'Unsupported media type',
        errors,
      },
    ],
  ]
}

function batchAt(after: number) {
  return { stream: '2000-01-01T00:00:00Z', after, through: after + 1, views: [] }
}

/** Errors while all dependencies of the service are down. */
const outages: Case[] = [
  ['play', 503, 'POST', '/play/asset/456/user/8', {}, unavailable],
  ['play', 503, 'GET', '/catalogue', {}, unavailable],
  ['play', 503, 'GET', '/series', {}, unavailable],
  ['metadata', 503, 'GET', '/content/asset/456', {}, unavailable],
  ['metadata', 503, 'GET', '/content/assets', {}, unavailable],
  ['cdnurl', 503, 'GET', '/url/asset/456', {}, unavailable],
  ['cdnurl', 503, 'GET', '/url/assets', {}, unavailable],
]

describe('all errors have the same shape', () => {
  let system: Services
  let isolated: Services
  beforeAll(async () => {
    system = await startEmbedded({ WRITE_TOKEN: 'token' })
    isolated = await startIsolated()
  })
  afterAll(() => Promise.all([system, isolated].map((started) => started?.[Symbol.asyncDispose]())))

  test.each([...common, ...own])('%s: %i in response to %s %s', (name, ...expected) =>
    expectError(system[name].url, ...expected),
  )

  test.each(outages)('%s without its dependencies: %i in response to %s %s', (name, ...expected) =>
    expectError(isolated[name].url, ...expected),
  )
})

/** Sends a request with a request id, which the error must return in its headers and body. */
async function expectError(
  origin: string,
  status: number,
  method: string,
  path: string,
  init: RequestInit,
  body: object,
): Promise<void> {
  const requestId = `request-${crypto.randomUUID()}`
  const headers = { ...Object.fromEntries(new Headers(init.headers)), 'x-request-id': requestId }
  const response = await fetch(origin + path, { ...init, method, headers })
  expect({ status: response.status, body: await response.json() }).toEqual({ status, body: { ...body, requestId } })
  expect(response.headers.get('x-request-id')).toBe(requestId)
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(response.headers.get('retry-after')).toBe(status === 503 ? '1' : null)
}

function isFieldErrors(errors: unknown): boolean {
  const isText = (value: unknown) => typeof value === 'string'
  return (
    Array.isArray(errors) && errors.length > 0 && errors.every(({ path, message }) => isText(path) && isText(message))
  )
}
