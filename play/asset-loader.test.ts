import { expect, test, vi } from 'vitest'
import { type CallOptions, type ServiceResponse, UpstreamError } from '../shared/client/service-client.ts'
import { CdnUrl } from '../shared/contracts/cdn-url.ts'
import { Metadata } from '../shared/contracts/metadata.ts'
import { useFakeClock } from '../shared/testing/fake-clock.ts'
import { createTestRequestContext } from '../shared/testing/test-service.ts'
import { createAssetLoader } from './asset-loader.ts'

const TIMEOUT_MS = 500

const owners = {
  metadata: { path: '/content', schema: Metadata, valid: { id: 'a', title: 'Alien', genre: 'horror', summary: '' } },
  cdnurl: { path: '/url', schema: CdnUrl, valid: { id: 'a', url: 'path/to/a.mp4' } },
}

test("an asset is loaded from its upstream, with the request's context", async () => {
  const { calls, load } = setUp(owners.metadata, { status: 200, body: owners.metadata.valid })
  const request = createTestRequestContext('request-1')
  expect(await load('a', request)).toEqual(owners.metadata.valid)
  expect(calls).toEqual([{ path: '/content/asset/a', options: { signal: expect.any(AbortSignal), ...request } }])
})

test.each([
  ['this release', { id: 'a', status: 'Asset not found', requestId: 'request-1' }],
  ['the previous release', { id: 'a', status: 'Asset not found' }],
])('a 404 in the format of %s means that there is no such asset', async (_, body) => {
  expect(await setUp(owners.metadata, { status: 404, body }).load('a')).toBeUndefined()
})

const invalid = Object.entries(owners).flatMap(([name, owner]) =>
  [
    { status: 200, body: undefined },
    { status: 200, body: 'text' },
    { status: 200, body: { ...owner.valid, id: undefined } },
    { status: 200, body: { id: 'a', title: '', genre: 'x', summary: '', url: 'javascript:alert(1)' } },
    { status: 302, body: owner.valid },
    { status: 400, body: { status: 'Invalid request' } },
    { status: 404, body: { status: 'Not found' } },
    { status: 429, body: { status: 'Too many requests' } },
  ].map((response) => ({ name, owner, ...response })),
)

test.each(invalid)('the response $status $body from $name is an upstream error', async ({ owner, status, body }) => {
  await expect(setUp(owner, { status, body }).load('a')).rejects.toThrow(UpstreamError)
})

test('a call to the upstream is aborted after the timeout', async () => {
  useFakeClock()
  const { calls, load } = setUp(owners.metadata, { status: 200, body: owners.metadata.valid })
  await load('a')
  await vi.advanceTimersByTimeAsync(TIMEOUT_MS - 1)
  expect(calls[0]?.options.signal.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(calls[0]?.options.signal.reason).toMatchObject({ name: 'TimeoutError' })
})

/** A loader for an upstream that always returns this response, with a record of the calls to it. */
function setUp({ path, schema }: (typeof owners)['metadata' | 'cdnurl'], response: ServiceResponse) {
  const calls: { path: string; options: CallOptions }[] = []
  const load = createAssetLoader(
    {
      async get(path, options) {
        calls.push({ path, options })
        return response
      },
    },
    { path, schema, timeoutMs: TIMEOUT_MS },
  )
  return { calls, load: (id: string, request = createTestRequestContext()) => load(id, request) }
}
