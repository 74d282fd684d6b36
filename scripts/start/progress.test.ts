import { expect, test } from 'vitest'
import { startHttpServer } from '../../shared/testing/http-server.ts'
import { waitUntilReady } from './progress.ts'

const ended = new AbortController().signal

test.each([
  ['ready', { status: 'ready', dependencies: {} }],
  ['replaying', { status: 'ready', dependencies: {}, counting: { state: 'replaying', progress: 0.4 } }],
])('the progress is %s if /readyz returns %j', async (progress, readiness) => {
  await using server = await startHttpServer((_, response) => response.end(JSON.stringify(readiness)))
  expect(await waitUntilReady([server.url], { timeoutMs: 0, ended })).toBe(progress)
})

test('a service that hangs does not extend the timeout', async () => {
  await using ready = await startHttpServer((_, response) => response.end('{"status":"ready","dependencies":{}}'))
  await using hanging = await startHttpServer(() => {})
  expect(await waitUntilReady([ready.url, hanging.url], { timeoutMs: 0, ended })).toBe('starting')
})
