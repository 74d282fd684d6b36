import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { startChild } from '../../tests/harness/child.ts'

const CLOSED = 'http://127.0.0.1:9'

async function seed(args: string[], env: Record<string, string>) {
  await using child = startChild(process.execPath, ['deploy/image/seed.ts', ...args], {
    env: { METADATA_URL: CLOSED, CDNURL_URL: CLOSED, WRITE_TOKEN: '', WRITE_TOKEN_FILE: '', ...env },
  })
  return { status: await child.ended, lines: child.lines }
}

test('seed posts first to cdnurl and then to metadata, and sends the token to both', async () => {
  const requests: unknown[] = []
  const server = createServer(async (request, response) => {
    requests.push([request.method, request.url, request.headers.authorization])
    request.resume()
    await once(request, 'end')
    response.end('{"stored":26}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  await using stack = new AsyncDisposableStack()
  stack.defer(() => server[Symbol.asyncDispose]())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { status, lines } = await seed([], { METADATA_URL: url, CDNURL_URL: url, WRITE_TOKEN: 'first second' })
  expect({ status, lines }).toEqual({
    status: 0,
    lines: [`${url}/url/assets: 200 {"stored":26}`, `${url}/content/assets: 200 {"stored":26}`],
  })
  expect(requests).toEqual([
    ['POST', '/url/assets', 'Bearer first'],
    ['POST', '/content/assets', 'Bearer first'],
  ])
})

test('seed prints one line if a service is not reachable', async () => {
  expect(await seed([], {})).toEqual({
    status: 1,
    lines: [expect.stringMatching(/^seed: http:\/\/127\.0\.0\.1:9\/url\/assets is not reachable \(.*ECONNREFUSED/)],
  })
})

test('seed exits with status 2 if it cannot read the file', async () => {
  expect(await seed(['missing.jsonl'], {})).toEqual({
    status: 2,
    lines: [expect.stringMatching(/^seed: cannot read the file "missing\.jsonl" \(ENOENT/)],
  })
})
