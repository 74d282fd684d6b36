import type { RequestListener } from 'node:http'
import { expect, test } from 'vitest'
import { startHttpServer } from '../../shared/testing/http-server.ts'
import { runningTime } from '../../tests/harness/running-time.ts'
import { fetchJwks } from './fetch-jwks.ts'

async function fetchFrom(listener: RequestListener, ms = 2_000) {
  await using server = await startHttpServer(listener)
  return await fetchJwks(`${server.url}/jwks`, AbortSignal.timeout(ms))
}

test('a fetch returns the body', async () => {
  expect(await fetchFrom((_, response) => response.end('body'))).toEqual({ text: 'body', maxAgeMs: undefined })
})

test.each([
  ['max-age=300', 300_000],
  ['public, Max-Age=1', 1_000],
  ['no-cache', undefined],
  ['s-maxage=300', undefined],
  ['max-age=-1', undefined],
  ['max-age="3"', undefined],
])('with cache-control: %s, the keys stay fresh for %s ms', async (cacheControl, maxAgeMs) => {
  const fetched = await fetchFrom((_, response) => response.setHeader('cache-control', cacheControl).end())
  expect(fetched.maxAgeMs).toBe(maxAgeMs)
})

test.each([302, 404, 500])('a response with status %i is an error, and no redirect is followed', async (status) => {
  const paths: (string | undefined)[] = []
  const fetching = fetchFrom((request, response) => {
    paths.push(request.url)
    response.writeHead(status, { location: '/other' }).end('{"keys":[]}')
  })
  await expect(fetching).rejects.toThrow(`returned ${status}`)
  expect(paths).toEqual(['/jwks'])
})

test('a body over 256 KiB is not read to its end', async () => {
  let sent = 0
  const fetching = fetchFrom((_, response) => {
    const write = () => {
      while (!response.destroyed && sent < 1e8) {
        sent += 65_536
        if (!response.write('x'.repeat(65_536))) return
      }
    }
    response.on('drain', write)
    write()
  })
  await expect(fetching).rejects.toThrow('larger than')
  expect(sent).toBeLessThan(1e8)
})

test.each<[string, RequestListener]>([
  ['never responds', () => {}],
  ['sends the body byte by byte', (_, response) => setInterval(() => response.write(' '), 10).unref()],
])('a fetch from a provider that %s ends when the signal aborts', async (_, listener) => {
  const startedAt = runningTime()
  await expect(fetchFrom(listener, 100)).rejects.toThrow()
  expect(runningTime() - startedAt).toBeLessThan(2_000)
})
