import { json } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { EventBatch, isReport } from '../shared/contracts/event-batch.ts'
import { discoverySettings } from '../shared/discovery/settings.ts'
import type { EventLog } from '../shared/event-log/event-log.ts'
import { createSqliteEventLog } from '../shared/event-log/sqlite-event-log.ts'
import { host, loadSettings, logLevel, port } from '../shared/runtime/settings.ts'
import { startHttpServer } from '../shared/testing/http-server.ts'
import { createTestService } from '../shared/testing/test-service.ts'
import { tracingSettings } from '../shared/tracing/settings.ts'
import { eventually } from '../tests/harness/eventually.ts'
import { queueListener, startQueueListener } from './service.ts'

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

test('views in the log are posted to reporting, with the write token', async () => {
  const { batches, metrics, tokens } = await start()
  await eventually(() => expect(batches.flatMap(({ views }) => views)).toMatchObject([{ id: '1' }]))
  expect([...tokens]).toEqual(['Bearer secret'])
  await eventually(async () => expect(await metrics()).toContain('forwarded_views_total 1\n'))
})

test('readiness requires the log', async () => {
  const { readiness } = await start({ state: () => 'down' })
  expect(await readiness()).toMatchObject([503, { dependencies: { events: 'down', reporting: 'up' } }])
})

test('readiness requires reporting', async () => {
  const { readiness, stopReporting } = await start()
  const dependencies = { events: 'up', reporting: 'up' }
  await eventually(async () => {
    expect(await readiness()).toEqual([
      200,
      {
        status: 'ready',
        dependencies,
        forwarding: { state: 'running', waiting: 0 },
        delivery: { batches: 1, views: 1, p99Ms: expect.any(Number), lagMs: 0 },
        startedAt: expect.any(String),
      },
    ])
  })
  await stopReporting()
  expect(await readiness()).toMatchObject([503, { dependencies: { events: 'up', reporting: 'down' } }])
})

test('closing the service ends forwarding, even if the process is not stopping', async () => {
  const { batches, close } = await start()
  await eventually(() => expect(batches).toHaveLength(1))
  await close()
})

/** Starts the queue-listener service, with one view in the log and a fake reporting service. */
async function start(eventLogOverrides: Partial<EventLog> = {}) {
  const reporting = await serveReporting()
  const service = createTestService('queue-listener')
  const memory = stack.use(createSqliteEventLog({ file: ':memory:', log: service.log }))
  stack.use(service.resources)
  const view = { id: '1', assetId: 'a', userId: 'u', at: '2026-11-20T21:00:00Z' }
  await memory.producer('/test').append([view], AbortSignal.timeout(1_000))
  const common = { PORT: port(0), HOST: host, LOG_LEVEL: logLevel, ...discoverySettings, ...tracingSettings }
  const env = { REPORTING_URL: reporting.origin, WRITE_TOKEN: 'secret', NATS_URL: 'nats://127.0.0.1' }
  const settings = loadSettings({ ...common, ...queueListener.settings }, { args: [], env })
  const { url } = await startQueueListener(service, settings, { eventLog: { ...memory, ...eventLogOverrides } })
  return {
    ...reporting,
    close: () => service.resources.disposeAsync(),
    metrics: async () => (await fetch(`${url}/metrics`)).text(),
    async readiness() {
      const response = await fetch(`${url}/readyz`)
      return [response.status, await response.json()]
    },
  }
}

/** A fake reporting service that counts every batch. */
async function serveReporting() {
  const batches: EventBatch[] = []
  const tokens = new Set<string | undefined>()
  let position: object | null = null
  const server = await startHttpServer(async (request, response) => {
    if (request.method === 'POST') {
      const batch = EventBatch.parse(await json(request))
      tokens.add(request.headers.authorization)
      if (!isReport(batch)) {
        batches.push(batch)
        position = { stream: batch.stream, sequence: batch.through }
      }
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(position))
  })
  stack.use(server)
  const stopReporting = () => server[Symbol.asyncDispose]()
  return { batches, tokens, stopReporting, origin: server.url }
}
