import { describe, expect, test } from 'vitest'
import type { Invalidation } from '../catalogue/invalidations.ts'
import { toWriteToken, type WriteToken } from '../http/write-token.ts'
import { UnavailableError } from '../runtime/unavailable-error.ts'
import { createMapStore } from '../stores/map-store.ts'
import type { Store } from '../stores/store.ts'
import type { Catalogue } from './catalogue.ts'
import { expectProblem } from './expect-problem.ts'
import { createTestService } from './test-service.ts'

const MIB = 2 ** 20

/** Conformance tests for bulk writes, independent of the service's fields. */
export function describeBulkWrite<Fields extends object>({ createApp, name, path, examples }: Catalogue<Fields>) {
  const [fields, others] = examples
  const route = `${path}/assets`
  const line = (id: string, more: object = fields) => JSON.stringify({ id, ...more })
  const [field = ''] = Object.keys(fields)
  const without = Object.fromEntries(Object.entries(fields).filter(([key]) => key !== field))

  function setUp({
    store = createMapStore<Fields>(),
    writeToken,
  }: {
    store?: Store<Fields>
    writeToken?: WriteToken
  } = {}) {
    const published: Invalidation[] = []
    const invalidations = { publish: (one: Invalidation) => published.push(one), subscribe() {} }
    const app = createApp({ ...createTestService(name), store, invalidations, writeToken })
    const send = (body: string | Uint8Array<ArrayBuffer>, headers?: Record<string, string>) =>
      app.request(route, ndjsonRequest(body, headers))
    return { app, published, send, stored: () => store.list({ limit: 1_000_000 }).entries }
  }

  async function expectStored(body: string | Uint8Array<ArrayBuffer>, entries: [string, Fields][]) {
    const { send, stored } = setUp()
    const response = await send(body)
    expect({ status: response.status, body: await response.json() }).toEqual({
      status: 200,
      body: { status: 'ok', stored: entries.length },
    })
    expect(stored()).toEqual(entries)
  }

  async function expectRefused(body: string | Uint8Array<ArrayBuffer>, paths: string[]) {
    const { send, stored, published } = setUp()
    const errors = await expectProblem(await send(body), 400, paths)
    expect({ stored: stored(), published }).toEqual({ stored: [], published: [] })
    return errors
  }

  describe('a bulk write', () => {
    test('creates and replaces assets, and publishes an invalidation for each', async () => {
      const store = createMapStore([['b', others]])
      const { send, stored, published } = setUp({ store })
      const response = await send(`${line('a')}\n${line('b')}\n${line('c', others)}\n`)
      expect(await response.json()).toEqual({ status: 'ok', stored: 3 })
      expect(stored()).toEqual([
        ['a', fields],
        ['b', fields],
        ['c', others],
      ])
      expect(published).toEqual(['a', 'b', 'c'].map((id) => ({ service: name, id })))
    })

    test.each([
      ['no line feed at the end', `${line('a')}\n${line('b')}`],
      ['Windows line endings', `${line('a')}\r\n${line('b')}\r\n`],
      ['blank lines', `\n \t\n${line('a')}\n\r\n\n${line('b')}\n\n`],
      ['white space around the objects', ` \t${line('a')} \n  ${line('b')}\t`],
      ['a byte order mark at the start', `\ufeff${line('a')}\n${line('b')}\n`],
      ['a blank first line after a byte order mark', `\ufeff\n${line('a')}\n${line('b')}\n`],
      ['Unicode line separators in a string', `${line('a')}\n${line('b', { ...fields, more: '\u2028\u2029\u0085' })}`],
    ])('accepts %s', async (_, body) => {
      await expectStored(body, [
        ['a', fields],
        ['b', fields],
      ])
    })

    test('ignores unknown fields, because multiple services accept the same file', async () => {
      const all = { title: 'A', genre: 'b', summary: 'c', url: 'd', year: 1927, deep: { list: [1, {}] }, ...fields }
      await expectStored(line('a', { ...all, ['__proto__']: { [field]: 1 } }), [['a', fields]])
    })

    test('stores the last of several lines with the same id, and counts them as one asset', async () => {
      await expectStored([line('a'), line('b'), line('a', others)].join('\n'), [
        ['a', others],
        ['b', fields],
      ])
    })

    test('accepts every valid id', async () => {
      const ids = ['0', 'constructor', 'a.b_c@d~e-f', 'a'.repeat(128)]
      await expectStored(
        ids.map((id) => line(id)).join('\n'),
        ids.toSorted().map((id) => [id, fields]),
      )
    })

    test('reports each invalid field with its line, and stores nothing', async () => {
      const body = [line('a'), '', line('b', without), line('-', { ...fields, [field]: null }), line('c')].join('\n')
      const errors = await expectRefused(body, [`line 3: ${field}`, 'line 4: id', `line 4: ${field}`])
      expect(errors[1]?.message).toContain('must be 1 to 128 characters of')
    })

    test.each([
      'text',
      '{',
      `{"id":"a"}}`,
      '{"id":"a",}',
      'null',
      '1',
      '"a"',
      '[]',
      `[${line('a')}]`,
      `${line('a')}${line('b')}`,
      `${line('a')},`,
      `\ufeff${line('a')}`,
      '['.repeat(60_000),
      `${'['.repeat(30_000)}${']'.repeat(30_000)}`,
    ])('rejects a line that is not a JSON object: %.20s', async (text) => {
      const [error] = await expectRefused(`${line('z')}\n${text}\n`, ['line 2'])
      expect(error?.message).toBe('must be a JSON object')
    })

    test.each([undefined, null, 1, '', '__proto__', 'a/b', 'a b', ['a'], 'a'.repeat(129)])(
      'rejects the id %j',
      async (id) => {
        await expectRefused(`${JSON.stringify({ ...fields, id })}`, ['line 1: id'])
      },
    )

    test('rejects a line that is not UTF-8', async () => {
      const latin1 = Buffer.from(`${line('a')}\n${line('b', { ...fields, more: 'Häxan' })}\n`, 'latin1')
      const [error] = await expectRefused(new Uint8Array(latin1), ['line 2'])
      expect(error?.message).toBe('must be UTF-8')
      await expectRefused(new Uint8Array(Buffer.from(`\ufeff${line('a')}`, 'utf16le')), ['line 1'])
    })

    test.each(['', '\n', '\r\n \n\t', '\ufeff'])('rejects a body without assets: %j', async (body) => {
      const [error] = await expectRefused(body, [''])
      expect(error?.message).toBe('the body has no assets')
    })

    test('reports the first 100 invalid lines', async () => {
      const body = Array.from({ length: 150 }, () => `${line('a')}\n{}\n`).join('')
      const { send } = setUp()
      const paths = (await expectProblem(await send(body), 400)).map(({ path }) => path)
      const [first = '', last = ''] = [paths[0], paths.at(-1)]
      expect([first.split(':')[0], last.split(':')[0]]).toEqual(['line 2', 'line 200'])
      expect(paths).toHaveLength(100 * (Object.keys(fields).length + 1))
    })

    test('accepts a line of up to 64 KiB', async () => {
      const padded = (bytes: number) => line('a').padEnd(bytes)
      await expectStored(`${padded(64 * 1024)}\n${line('b')}`, [
        ['a', fields],
        ['b', fields],
      ])
      const [error] = await expectRefused(`${line('b')}\n${padded(64 * 1024 + 1)}\n`, ['line 2'])
      expect(error?.message).toBe('the line has 65537 bytes; at most 65536 are allowed')
    })

    test('accepts a body of up to 16 MiB', async () => {
      const { send, stored } = setUp()
      const body = `${line('a')}\n`.padEnd(16 * MIB, '\n')
      expect((await send(body)).status).toBe(200)
      expect(stored()).toHaveLength(1)
      await expectProblem(await send(`${body}\n`), 413)
    })

    test('does not block other requests while it parses', async () => {
      const { app, send } = setUp()
      const body = Array.from({ length: 150_000 }, (_, n) => line(`asset-${n}`)).join('\n')
      let isWritten = false
      const writing = Promise.resolve(send(body)).finally(() => {
        isWritten = true
      })
      let served = 0
      while (!isWritten) {
        expect((await app.request('/healthz')).status).toBe(200)
        served += 1
        await new Promise(setImmediate)
      }
      expect((await writing).status).toBe(200)
      expect(served).toBeGreaterThan(10)
    })

    test.each(['', 'application/json', 'text/plain', 'application/x-ndjsonp', 'application/jsonl'])(
      'rejects the content type %j',
      async (type) => {
        const [error] = await expectProblem(await setUp().send(line('a'), { 'content-type': type }), 415, [
          'content-type',
        ])
        expect(error?.message).toContain('content-type: application/x-ndjson')
      },
    )

    test.each(['application/x-ndjson; charset=utf-8', 'Application/X-NDJSON'])(
      'accepts the content type %s',
      async (type) => {
        expect((await setUp().send(line('a'), { 'content-type': type })).status).toBe(200)
      },
    )

    test('returns 400 if the body is incomplete', async () => {
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(Buffer.from(line('a')))
          controller.error(new Error('the connection is closed'))
        },
      })
      const headers = { 'content-type': 'application/x-ndjson', 'content-length': '1000' }
      const { app, stored } = setUp()
      await expectProblem(await app.request(route, { method: 'POST', body, headers, duplex: 'half' }), 400, [''])
      expect(stored()).toEqual([])
    })

    test('requires a content-length', async () => {
      const headers = { 'content-type': 'application/x-ndjson' }
      const response = await setUp().app.request(route, { method: 'POST', body: line('a'), headers })
      await expectProblem(response, 411, ['content-length'])
    })

    test('requires the write token, if one is set', async () => {
      const { send, stored } = setUp({ writeToken: toWriteToken('secret') })
      for (const authorization of ['', 'Bearer wrong']) {
        await expectProblem(await send(line('a'), { authorization }), 401, ['authorization'])
      }
      expect(stored()).toEqual([])
      expect((await send(line('a'), { authorization: 'Bearer secret' })).status).toBe(200)
    })

    test('has at most 32 writes in flight', async () => {
      const map = createMapStore<Fields>()
      let inFlight = 0
      let most = 0
      const set = async (id: string, value: Fields) => {
        inFlight += 1
        most = Math.max(most, inFlight)
        await new Promise(setImmediate)
        inFlight -= 1
        await map.set(id, value)
      }
      const { send, stored } = setUp({ store: { ...map, set } })
      await send(Array.from({ length: 1_000 }, (_, n) => line(`asset-${n}`)).join('\n'))
      expect(stored()).toHaveLength(1_000)
      expect(most).toBe(32)
    })

    test('returns 503 with the number of stored assets when the store fails midway, and can be repeated', async () => {
      const map = createMapStore<Fields>()
      let left = 150
      const set = async (id: string, value: Fields) => {
        left -= 1
        // Delay the acknowledgement, as a network does, so that several writes are in flight.
        await new Promise(setImmediate)
        if (left < 0) throw new UnavailableError('the store is down')
        await map.set(id, value)
      }
      const { send, stored, published } = setUp({ store: { ...map, set } })
      const body = Array.from({ length: 1_000 }, (_, n) => line(`asset-${n}`)).join('\n')
      const failed = await send(body)
      expect(failed.headers.get('retry-after')).toBe('1')
      expect({ status: failed.status, body: await failed.json() }).toEqual({
        status: 503,
        body: { status: 'Service unavailable', stored: stored().length, requestId: failed.headers.get('x-request-id') },
      })
      expect(stored().length).toBeGreaterThan(0)
      expect(stored().length).toBeLessThanOrEqual(150)
      expect(published).toHaveLength(stored().length)
      // After the first failure, only writes in flight complete.
      expect(left).toBeGreaterThan(-100)

      left = Number.POSITIVE_INFINITY
      expect(await (await send(body)).json()).toEqual({ status: 'ok', stored: 1_000 })
      expect(stored()).toHaveLength(1_000)
    })

    test('returns 500 when the store fails for another reason', async () => {
      const set = () => Promise.reject(new Error('a bug'))
      const { send } = setUp({ store: { ...createMapStore<Fields>(), set } })
      await expectProblem(await send(line('a')), 500)
    })

    test('returns 503 while four other bulk writes are in flight', async () => {
      const confirmed = Promise.withResolvers<void>()
      const { send } = setUp({ store: { ...createMapStore<Fields>(), set: () => confirmed.promise } })
      const first = Array.from({ length: 4 }, () => send(line('a')))
      const fifth = await send(line('a'))
      expect({ status: fifth.status, body: await fifth.json() }).toMatchObject({ status: 503, body: { stored: 0 } })
      confirmed.resolve()
      for (const response of await Promise.all(first)) expect(response.status).toBe(200)
      expect((await send(line('a'))).status).toBe(200)
    })
  })
}

function ndjsonRequest(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
  const length = String(Buffer.byteLength(body))
  return {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/x-ndjson', 'content-length': length, ...headers },
  }
}
