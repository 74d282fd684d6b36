import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SystemTrace, Trace, TracedPlays } from '../shared/contracts/trace.ts'
import { startChild } from './harness/child.ts'
import { startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { natsVersion } from './harness/nats-server.ts'
import { getJson, views, warmUp } from './harness/plays.ts'
import { repeatAfterPause, runningTime } from './harness/running-time.ts'
import { type System, startSystem } from './harness/system.ts'

const newTraceId = () => crypto.randomUUID().replaceAll('-', '')

/** Plays an asset with a sampled trace, which is recorded. */
async function playRecorded(edge: string, userId: string, traceId = newTraceId()) {
  const headers = { traceparent: `00-${traceId}-${'b'.repeat(16)}-01` }
  const response = await fetch(`${edge}/play/asset/456/user/${userId}`, { method: 'POST', headers })
  expect(response.status).toBe(200)
  await response.body?.cancel()
  return { traceId, viewId: response.headers.get('view-id'), requestId: response.headers.get('x-request-id') }
}

async function readTrace(edge: string, traceId: string): Promise<SystemTrace> {
  return SystemTrace.parse(await getJson(`${edge}/traces/${traceId}`))
}

/** Waits until the view is counted, and returns the trace. */
async function readCounted(edge: string, traceId: string): Promise<SystemTrace> {
  return eventually(async () => {
    const trace = await readTrace(edge, traceId)
    const counts = trace.spans.filter(({ kind, attributes }) => kind === 'consumer' && attributes['log.last'])
    expect(counts.map(({ attributes }) => attributes['http.response.status_code'])).toContain(200)
    return trace
  })
}

const namesOf = ({ spans }: Trace) => spans.map(({ service, name }) => `${service}: ${name}`)

const ROUTE = '/play/asset/:assetId/user/:userId'
const OPERATIONS = [
  'play: POST reporting',
  `play: POST ${ROUTE}`,
  'play: look up counts',
  'play: send video.viewed',
  'queue-listener: POST reporting',
  'queue-listener: process video.viewed',
  'reporting: POST /events',
  'reporting: POST /events/lookup',
]

/** Waits for all operations of the trace, because a service may be queried just before its last operation ends. */
async function readComplete(edge: string, traceId: string): Promise<SystemTrace> {
  return eventually(async () => {
    const trace = await readCounted(edge, traceId)
    expect(namesOf(trace)).toEqual(expect.arrayContaining(OPERATIONS))
    expect(trace.missing).toEqual([])
    return trace
  })
}

describe.skipIf(!natsVersion)('with kept traces,', () => {
  let system: System
  let edge: string
  beforeAll(async () => {
    // The long timeout keeps views out of the outbox, from which they would be appended in another trace.
    system = await startSystem({ CATALOGUE_TTL: '1h', APPEND_TIMEOUT: '5s' })
    edge = system.play.url
    await warmUp(edge)
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test('play returns what all services did for a play, with cache hits, batch sizes and the position in the log', async () => {
    const { traceId, viewId, requestId } = await playRecorded(edge, 'traced')
    const trace = await readComplete(edge, traceId)
    const attributesOf = (name: string) => trace.spans.find((span) => span.name === name)?.attributes
    expect(attributesOf(`POST ${ROUTE}`)).toMatchObject({
      'request.id': requestId,
      'view.id': viewId,
      'asset.id': '456',
      'user.id': 'traced',
      'cache.metadata': 'hit',
      'cache.cdnurl': 'hit',
    })
    expect(attributesOf('look up counts')).toEqual({ 'batch.size': 1 })
    expect(attributesOf('send video.viewed')).toMatchObject({ 'batch.size': 1, 'recorded.place': 'log' })
    const view = Object(await getJson(`${edge}/views/${viewId}`))
    expect(attributesOf('process video.viewed')).toMatchObject({
      'batch.size': 1,
      'log.first': view.position.sequence,
      'log.last': view.position.sequence,
    })
  })

  test('a service other than play returns only its own part of a trace', async () => {
    const { traceId } = await playRecorded(edge, 'parts')
    await readCounted(edge, traceId)
    const partOf = async (origin: string) => Trace.parse(await getJson(`${origin}/traces/${traceId}`))
    const services = new Set((await partOf(system.reporting.url)).spans.map(({ service }) => service))
    expect(services).toEqual(new Set(['reporting']))
    expect(namesOf(await partOf(system.listener.url))).toEqual([
      'queue-listener: process video.viewed',
      'queue-listener: POST reporting',
    ])
    expect((await fetch(`${system.metadata.url}/traces/${traceId}`)).status).toBe(404)
  })

  test('the latest plays are listed, newest first, and no other requests', async () => {
    const first = await playRecorded(edge, 'first')
    await fetch(`${edge}/catalogue`)
    const second = await playRecorded(edge, 'second')
    await eventually(async () => {
      const { traces, missing } = TracedPlays.parse(await getJson(`${edge}/traces?limit=2`))
      expect(missing).toEqual([])
      expect(traces).toMatchObject([
        { ...second, assetId: '456', userId: 'second', status: 200 },
        { ...first, assetId: '456', userId: 'first', status: 200 },
      ])
    })
  })

  test("a play's trace can be found by its view id", async () => {
    const { traceId, viewId } = await playRecorded(edge, 'sought')
    await playRecorded(edge, 'other')
    const { traces } = TracedPlays.parse(await getJson(`${edge}/traces?viewId=${viewId}`))
    expect(traces).toMatchObject([{ traceId, viewId, userId: 'sought' }])
  })

  test('if plays share a batch, the trace of each contains the batch operations, but no other play', async () => {
    const plays = await Promise.all(Array.from({ length: 8 }, (_, n) => playRecorded(edge, `batched-${n}`)))
    for (const { traceId } of plays) {
      const trace = await readComplete(edge, traceId)
      const users = trace.spans.flatMap(({ attributes }) => attributes['user.id'] ?? [])
      expect(users).toHaveLength(1)
    }
  })

  test('while a service is down, the rest of a trace is returned in time, and the field "missing" names the service', async () => {
    await system.reporting.signal('SIGSTOP')
    const { traceId, viewId } = await playRecorded(edge, 'outage')
    // Repeat if the machine paused, because a pause delays the other services too.
    await repeatAfterPause(async () => {
      const startedAt = runningTime()
      const trace = await readTrace(edge, traceId)
      expect(runningTime() - startedAt).toBeLessThan(1_000)
      expect(trace.missing).toEqual(['reporting'])
      expect(namesOf(trace)).toContain('play: send video.viewed')
    })
    await system.reporting.signal('SIGKILL')
    await system.reporting.start()
    await readCounted(edge, traceId)
    await eventually(async () => expect(await views(system.reporting.url, 'user', 'outage')).toBe(1))
    expect(Object(await getJson(`${edge}/views/${viewId}`)).state).toBe('counted')
  })

  test("npm run why draws a view's trace", async () => {
    const { traceId, viewId } = await playRecorded(edge, 'drawn')
    await readComplete(edge, traceId)
    const env = { PLAY_URL: edge, REPORTING_URL: system.reporting.url }
    await using child = startChild(process.execPath, [resolve('scripts/why/main.ts'), String(viewId)], { env })
    expect(await child.ended).toBe(0)
    const text = child.lines.join('\n')
    expect(text).toContain(`Trace: ${traceId}, request `)
    expect(text).toMatch(/^Status 200 after [\d.]+ m?s\. Slowest step: .*\. Counted after [\d.]+ m?s\.$/m)
    expect(text).toMatch(/^ {4}metadata: cache hit: no call$/m)
    expect(text).toMatch(/^ {4}play: look up counts +·*█+·* +[\d.]+ m?s$/m)
    expect(text).toMatch(/^ {6}reporting: POST \/events +·*█+·* +[\d.]+ m?s$/m)
  })
})

describe('embedded mode', () => {
  test('keeps the traces of all services', async () => {
    await using embedded = await startEmbedded({ CATALOGUE_TTL: '1h' })
    await warmUp(embedded.play.url)
    const { traceId } = await playRecorded(embedded.play.url, 'traced')
    await readComplete(embedded.play.url, traceId)
  })

  test('keeps no traces with TRACES_KEPT=0', async () => {
    await using embedded = await startEmbedded({ TRACES_KEPT: '0' })
    await warmUp(embedded.play.url)
    const { traceId } = await playRecorded(embedded.play.url, 'untraced')
    expect((await fetch(`${embedded.play.url}/traces/${traceId}`)).status).toBe(404)
    expect(await getJson(`${embedded.play.url}/traces`)).toEqual({ traces: [], missing: [] })
  })
})
