import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Invalidation } from '../catalogue/invalidations.ts'
import { toWriteToken, type WriteToken } from '../http/write-token.ts'
import { sleep } from '../runtime/sleep.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import { createMapStore } from '../stores/map-store.ts'
import type { Store } from '../stores/store.ts'
import { describeBulkWrite } from './bulk-write.test-suite.ts'
import type { Catalogue } from './catalogue.ts'
import { expectProblem } from './expect-problem.ts'
import { jsonRequest } from './json-request.ts'
import { createTestService } from './test-service.ts'

const badIds = ['a%20b', 'a%2Fb', '%00', '-a', '_a', 'a%', '%zz', '%ff', '%E0%A4%A', '%C3%A9', 'a'.repeat(129)]
const goodIds = ['0', 'a.b_c@d~e-f', 'constructor', 'a'.repeat(128)]

/** The conformance suite for catalogue services: their routes and errors, independent of their fields. */
export function describeCatalogue<Fields extends object>({ createApp, name, path, examples }: Catalogue<Fields>) {
  const [fields, others] = examples

  function setUp(
    initial: [string, Fields][] = [],
    store: Store<Fields> = createMapStore(initial),
    writeToken?: WriteToken,
  ) {
    const published: Invalidation[] = []
    const service = createTestService(name)
    const invalidations = {
      publish: (invalidation: Invalidation) => published.push(invalidation),
      subscribe() {},
    }
    const app = createApp({ ...service, store, invalidations, writeToken })
    return { app, published, asset: async (id: string) => (await app.request(`${path}/asset/${id}`)).json() }
  }

  describe('an asset', () => {
    test('is not found before it is created', async () => {
      const { app } = setUp()
      const response = await app.request(`${path}/asset/9`)
      expect(response.status).toBe(404)
      expect(await response.json()).toEqual(notFound('9'))
      expect(await (await app.request(`${path}/asset/9`, withId('abc'))).json()).toEqual(notFound('9', 'abc'))
    })

    test('is created, replaced and deleted', async () => {
      const { app, asset } = setUp()
      for (const body of [fields, others]) {
        const written = await app.request(`${path}/asset/9`, jsonRequest(body))
        expect(written.status).toBe(200)
        expect(await written.json()).toEqual({ status: 'ok' })
        expect(await asset('9')).toEqual({ id: '9', ...body })
      }
      const deleted = await app.request(`${path}/asset/9`, { method: 'DELETE' })
      expect(deleted.status).toBe(200)
      expect(await deleted.json()).toEqual({ status: 'ok' })
      expect(await asset('9')).toEqual(notFound('9'))
      const again = await app.request(`${path}/asset/9`, { method: 'DELETE' })
      expect(again.status).toBe(404)
      expect(await again.json()).toEqual(notFound('9', again.headers.get('x-request-id')))
    })

    test('is invalidated by each successful write, and by nothing else', async () => {
      const { app, published } = setUp()
      await app.request(`${path}/asset/9`, { method: 'DELETE' })
      await app.request(`${path}/asset/9`, jsonRequest({}))
      expect(published).toEqual([])
      await app.request(`${path}/asset/9`, jsonRequest(fields))
      expect(published).toEqual([{ service: name, id: '9' }])
      await app.request(`${path}/asset/9`, { method: 'DELETE' })
      expect(published).toEqual([
        { service: name, id: '9' },
        { service: name, id: '9' },
      ])
    })

    test('cannot be written while 1,000 other writes are in flight, but can be read', async () => {
      const stored = Promise.withResolvers<void>()
      const { app } = setUp([], { ...createMapStore<Fields>([]), set: () => stored.promise })
      const write = () => app.request(`${path}/asset/9`, jsonRequest(fields))
      const first = Array.from({ length: 1_000 }, write)
      const ended = new AbortController()
      const next = await Promise.race([write(), sleep(15_000, ended.signal)])
      ended.abort()
      const removed = await app.request(`${path}/asset/9`, { method: 'DELETE' })
      const read = await app.request(`${path}/asset/9`)
      stored.resolve()
      expect([next?.status, removed.status, read.status]).toEqual([503, 503, 404])
      for (const response of await Promise.all(first)) expect(response.status).toBe(200)
      expect((await write()).status).toBe(200)
    })

    test('is not invalidated by a failed write, which returns 503', async () => {
      const fail = () => Promise.reject(new UnavailableError('the store is down'))
      const { app, published } = setUp([], { ...createMapStore<Fields>(), set: fail, delete: fail })
      await expectProblem(await app.request(`${path}/asset/9`, jsonRequest(fields)), 503)
      await expectProblem(await app.request(`${path}/asset/9`, { method: 'DELETE' }), 503)
      expect(published).toEqual([])
    })

    test.each(goodIds)('can have the id %s', async (id) => {
      const { app, asset } = setUp()
      expect(await asset(id)).toEqual(notFound(id))
      await app.request(`${path}/asset/${id}`, jsonRequest(fields))
      expect(await asset(id)).toEqual({ id, ...fields })
    })

    test('is found by its percent-encoded id', async () => {
      const { asset } = setUp([['123', fields]])
      expect(await asset('%31%32%33')).toEqual({ id: '123', ...fields })
    })

    test.each(badIds)('cannot have the id %s', async (id) => {
      const { app } = setUp()
      for (const init of [{}, jsonRequest(fields), { method: 'DELETE' }]) {
        await expectProblem(await app.request(`${path}/asset/${id}`, init), 400, ['assetId'])
      }
    })

    test('requires the write token for writes but not for reads, if a token is set', async () => {
      const { app, asset, published } = setUp([['8', fields]], undefined, toWriteToken('secret'))
      for (const authorization of ['', 'Bearer', 'Bearer wrong', 'Bearer secrets', 'Basic secret', 'secret']) {
        for (const init of [jsonRequest(fields, { authorization }), { method: 'DELETE', headers: { authorization } }]) {
          const rejected = await app.request(`${path}/asset/8`, init)
          expect(rejected.headers.get('www-authenticate')).toBe('Bearer')
          await expectProblem(rejected, 401, ['authorization'])
        }
      }
      expect(published).toEqual([])
      expect(await asset('8')).toEqual({ id: '8', ...fields })
      for (const authorization of ['Bearer secret', 'bearer secret']) {
        expect((await app.request(`${path}/asset/9`, jsonRequest(others, { authorization }))).status).toBe(200)
      }
      expect(await asset('9')).toEqual({ id: '9', ...others })
    })

    test('returns 405 for other methods', async () => {
      const { app } = setUp()
      const response = await app.request(`${path}/asset/9`, { method: 'PUT' })
      await expectProblem(response, 405)
      expect(response.headers.get('allow')).toBe('GET, HEAD, POST, DELETE')
    })
  })

  describe('a body', () => {
    const send = (body: unknown, headers?: Record<string, string>) =>
      setUp().app.request(`${path}/asset/9`, jsonRequest(body, headers))

    test('is rejected with an error for each missing field', async () => {
      await expectProblem(await send({}), 400, Object.keys(fields))
    })

    test('is rejected with an error for each unknown field', async () => {
      await expectProblem(await send({ ...fields, id: '9', ['__proto__']: 1 }), 400, ['id', '__proto__'])
    })

    test.each(['', '{', '{"a":1}}', 'null', '[]', '"text"'])('cannot be %j', async (body) => {
      await expectProblem(await send(body), 400, [''])
    })

    test('changes nothing if it is rejected', async () => {
      const { app, asset } = setUp([['9', fields]])
      await app.request(`${path}/asset/9`, jsonRequest({ ...others, more: 1 }))
      expect(await asset('9')).toEqual({ id: '9', ...fields })
    })

    test('may be up to 64 KiB long', async () => {
      const padded = (bytes: number) => JSON.stringify(fields).padEnd(bytes)
      expect((await send(padded(64 * 1024))).status).toBe(200)
      await expectProblem(await send(padded(64 * 1024 + 1)), 413)
    })

    test('requires a content-length', async () => {
      const body = JSON.stringify(fields)
      const headers = { 'content-type': 'application/json' }
      const response = await setUp().app.request(`${path}/asset/9`, { method: 'POST', body, headers })
      await expectProblem(response, 411, ['content-length'])
    })

    test.each(['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp'])(
      'cannot have the content type %s',
      async (type) => {
        const [error] = await expectProblem(await send(fields, { 'content-type': type }), 415, ['content-type'])
        expect(error?.message).toContain('content-type: application/json')
      },
    )

    test.each(['application/json; charset=utf-8', 'Application/JSON', 'application/merge-patch+json'])(
      'can have the content type %s',
      async (type) => expect((await send(fields, { 'content-type': type })).status).toBe(200),
    )
  })

  describe('the list', () => {
    const ids = ['B', 'a', 'a1', 'a10', 'a2']
    const list = async (query: string, { app } = setUp(ids.toReversed().map((id) => [id, fields]))) =>
      (await app.request(`${path}/assets${query}`)).json()
    const page = (some: string[], next: string | null) => ({ assets: some.map((id) => ({ id, ...fields })), next })

    test('contains every asset, ordered by id', async () => {
      expect(await list('')).toEqual(page(ids, null))
    })

    test('is empty if there are no assets', async () => {
      expect(await list('', setUp())).toEqual({ assets: [], next: null })
    })

    test('is paginated, and each page but the last points to the next one', async () => {
      expect(await list('?limit=2')).toEqual(page(['B', 'a'], 'a'))
      expect(await list('?limit=2&after=a')).toEqual(page(['a1', 'a10'], 'a10'))
      expect(await list('?limit=2&after=a10')).toEqual(page(['a2'], null))
      expect(await list('?limit=5')).toEqual(page(ids, null))
    })

    test('can continue after a deleted asset', async () => {
      expect(await list('?after=a11')).toEqual(page(['a2'], null))
      expect(await list('?after=zzz')).toEqual(page([], null))
    })

    test('has pages of 100 by default', async () => {
      const many = Array.from({ length: 101 }, (_, n): [string, Fields] => [String(n), fields])
      expect(await list('', setUp(many))).toMatchObject({ assets: { length: 100 }, next: expect.any(String) })
    })

    test.each(['', '0', '-1', '1.5', 'ten', '1001', '1&limit=2'])('rejects the limit %j', async (limit) => {
      await expectProblem(await setUp().app.request(`${path}/assets?limit=${limit}`), 400, ['limit'])
    })

    test.each(['', '%2F'])('rejects %j as `after`', async (after) => {
      await expectProblem(await setUp().app.request(`${path}/assets?after=${after}`), 400, ['after'])
    })

    test('supports only GET, HEAD and POST', async () => {
      const response = await setUp().app.request(`${path}/assets`, { method: 'PUT' })
      await expectProblem(response, 405)
      expect(response.headers.get('allow')).toBe('GET, HEAD, POST')
    })
  })

  describeBulkWrite({ createApp, name, path, examples })

  test('the OpenAPI document lists every route with its responses', async () => {
    const { paths, components } = Document.parse(await (await setUp().app.request('/openapi.json')).json())
    expect(components.securitySchemes).toEqual({ writeToken: { type: 'http', scheme: 'bearer' } })
    const responses = (route: string) =>
      Object.entries(paths[route] ?? {}).map(([method, { responses }]) => [method, ...Object.keys(responses)])
    expect(responses(`${path}/asset/{assetId}`)).toEqual([
      ['get', '200', '400', '404', '431', '503'],
      ['post', '200', '400', '401', '408', '411', '413', '415', '431', '503'],
      ['delete', '200', '400', '401', '404', '431', '503'],
    ])
    expect(responses(`${path}/assets`)).toEqual([
      ['get', '200', '400', '431', '503'],
      ['post', '200', '400', '401', '408', '411', '413', '415', '431', '503'],
    ])
  })
}

const Document = z.object({
  components: z.object({ securitySchemes: z.unknown() }),
  paths: z.record(z.string(), z.record(z.string(), z.object({ responses: z.record(z.string(), z.unknown()) }))),
})

const withId = (id: string) => ({ headers: { 'x-request-id': id } })

/** The body of a 404 for an asset. */
function notFound(id: string, requestId: unknown = expect.any(String)) {
  return { id, status: 'Asset not found', requestId }
}
