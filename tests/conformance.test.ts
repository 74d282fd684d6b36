import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DeadLetterPage } from '../shared/contracts/dead-letter.ts'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { serviceNames } from './harness/each-service.ts'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { eventually } from './harness/eventually.ts'
import { startIsolated } from './harness/isolated.ts'
import { natsVersion } from './harness/nats-server.ts'
import { loadOpenApi, type OpenApi, type Operation } from './harness/openapi.ts'
import { insertRaw, publishRaw } from './harness/raw-messages.ts'
import { type RequestKind, requestKinds } from './harness/requests.ts'
import { expectDocumented, expectProblemShape, send } from './harness/responses.ts'
import { startSystem } from './harness/system.ts'

const SEED = Number(process.env.CONTRACT_SEED ?? 20_261_121)
const RUNS = 15
const TRACE_ID = 'c'.repeat(32)
const authorization = 'Bearer conforming'
/** A valid request may still use an unknown id (404), or conflict with the current position (409). */
const ACCEPTED = [200, 202, 404, 409]
/** Statuses that no single request can cause, or that depend on the asset's rights. */
const CONDITIONAL = [403, 408, 422, 429, 451, 503, 507]

/** play comes last: its views advance reporting's position, so reporting would then reject its own example batch. */
const playLast = [...serviceNames.filter((name) => name !== 'play'), 'play' as const]

/** Enough dead letters for the last sequences to exceed the small numbers that fast-check tends to generate. */
const DEAD_LETTERS = 320
const invalid = Array.from({ length: DEAD_LETTERS }, () => 'not json')

/** Dead letters advance reporting's position too, so they get a separate system with its own log. */
const [listener, others] = ['queue-listener' as const, playLast.filter((name) => name !== 'queue-listener')]
const modes = [
  { mode: 'as processes', start: startSystem, names: others, skip: !natsVersion },
  { mode: 'as processes, with dead letters', start: startWithDeadLetters, names: [listener], skip: !natsVersion },
  { mode: 'embedded', start: startEmbedded, names: others, skip: false },
  { mode: 'embedded, with dead letters', start: startEmbeddedWithDeadLetters, names: [listener], skip: false },
]

async function startWithDeadLetters(settings: Record<string, string>): Promise<Services> {
  const system = await startSystem(settings)
  await publishRaw(system.nats, invalid)
  return system
}

function startEmbeddedWithDeadLetters(settings: Record<string, string>): Promise<Services> {
  return startEmbedded(settings, (dataDir) => insertRaw(dataDir, invalid))
}

async function listDeadLetters(origin: string): Promise<number[]> {
  const response = await fetch(`${origin}/dead-letters?limit=1000`, { headers: { authorization } })
  const { deadLetters } = DeadLetterPage.parse(await response.json())
  return deadLetters.map(({ sequence }) => sequence)
}

describe.each(modes)(`$mode, with CONTRACT_SEED=${SEED}`, ({ start, names, skip }) => {
  let system: Services
  beforeAll(async () => {
    if (!skip) system = await start({ WRITE_TOKEN: 'conforming', READ_TOKEN: 'conforming-reader' })
  })
  afterAll(() => system?.[Symbol.asyncDispose]())

  test.skipIf(skip).each(names)(
    '%s conforms to its OpenAPI document, and returns every documented status',
    async (name) => {
      const { url } = system[name]
      const api = await loadOpenApi(url)
      expect(api.operations.length).toBeGreaterThan(2)
      const sequences = await eventually(async () => {
        const all = name === listener ? await listDeadLetters(url) : []
        expect(all).toHaveLength(name === listener ? DEAD_LETTERS : 0)
        return all.toReversed()
      })
      const viewId = name === 'play' ? await playOnce(url) : undefined
      for (const operation of explanationsLast(api.operations).map((one, index) =>
        withExamples(one, { sequence: sequences[index] ?? 0, viewId, traceId: TRACE_ID }),
      )) {
        await restoreExamples()
        await recordTrace(url)
        const statuses = new Set<number>()
        for (const kind of requestKinds(operation, api, authorization)) {
          for (const status of await statusesOf(kind, operation, api, url)) statuses.add(status)
        }
        const documented = Object.keys(operation.responses).map(Number)
        const expected = documented.filter((status) => !CONDITIONAL.includes(status))
        expect([operation.id, ...statuses].toSorted()).toEqual([operation.id, ...expected].toSorted())
      }
      await expectOtherMethodsRejected(api, url)
    },
  )

  /** Creates the data that the examples in the documents refer to. */
  async function restoreExamples(): Promise<void> {
    const post = async (url: string, body: object) => {
      expect((await fetch(url, jsonRequest(body, { authorization }))).status).toBe(200)
    }
    for (const name of serviceNames) {
      const { operations, resolve } = await loadOpenApi(system[name].url)
      const setAsset = operations.find(({ id }) => /^POST \/[^/]+\/asset\/\{assetId\}$/.test(id))
      if (!setAsset) continue
      const { schema = {} } = setAsset.requestBody?.content['application/json'] ?? {}
      const [example] = resolve(schema).examples ?? []
      await post(`${system[name].url}${setAsset.path.replace('{assetId}', '456')}`, Object(example))
    }
    await post(`${system.reporting.url}/events/asset/456/user/8`, {})
  }
})

describe('without any dependency,', () => {
  let isolated: Services
  beforeAll(async () => {
    isolated = await startIsolated()
  })
  afterAll(() => isolated?.[Symbol.asyncDispose]())

  // reporting has no dependencies.
  const dependent = serviceNames.filter((name) => name !== 'reporting')

  test.each(dependent)('%s returns 503 on every route that documents 503', async (name) => {
    const { url } = isolated[name]
    const api = await loadOpenApi(url)
    // Streams are excluded, because a stream stays open while it waits for data.
    const operations = api.operations.filter(({ responses }) => '503' in responses && !isStream(responses))
    expect(operations.length).toBeGreaterThan(0)
    for (const operation of operations) {
      const [valid] = requestKinds(operation, api, authorization)
      const statuses = await statusesOf({ ...valid, status: 503, runs: 3 }, operation, api, url)
      expect([operation.id, ...statuses]).toEqual([operation.id, 503])
    }
  })
})

/** Puts the operations that explain a view last, because the example batch must count that view first. */
function explanationsLast(operations: Operation[]): Operation[] {
  const explainsView = ({ parameters }: Operation) => parameters.some(({ name }) => name === 'viewId')
  return [...operations.filter((one) => !explainsView(one)), ...operations.filter(explainsView)]
}

/** Records a view, and returns its id. */
async function playOnce(edge: string): Promise<string | undefined> {
  const response = await fetch(`${edge}/play/asset/456/user/8`, { method: 'POST' })
  return response.headers.get('view-id') ?? undefined
}

/** Sends a request with a sampled trace, which the service records. */
async function recordTrace(origin: string): Promise<void> {
  const response = await fetch(origin, { headers: { traceparent: `00-${TRACE_ID}-${'b'.repeat(16)}-01` } })
  await response.body?.cancel()
}

/**
 * Replaces the example values of parameters with existing data: a view, a trace and a dead letter. No other operation
 * uses this dead letter, because a dead letter can be resolved only once.
 */
function withExamples(operation: Operation, values: Record<string, string | number | undefined>): Operation {
  const parameters = operation.parameters.map((parameter) => {
    const value = values[parameter.name]
    return value === undefined ? parameter : { ...parameter, schema: { ...parameter.schema, examples: [value] } }
  })
  return { ...operation, parameters }
}

function isStream({ 200: done }: Operation['responses']): boolean {
  return done?.content?.['text/event-stream'] !== undefined
}

/** Expects every documented path to reject undocumented methods, and to list the allowed methods. */
async function expectOtherMethodsRejected({ operations }: OpenApi, origin: string): Promise<void> {
  for (const [path, documented] of Map.groupBy(operations, (operation) => operation.path)) {
    const allowed = documented.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((other) => !allowed.includes(other))) {
      const response = await fetch(origin + path.replace(/\{\w+\}/g, '456'), { method })
      await expectProblem(response, 405)
      expect(response.headers.get('allow')?.split(', ').toSorted()).toEqual(allowed.toSorted())
    }
  }
}

/** Sends the requests, checks each response, and returns the observed statuses. */
async function statusesOf(kind: RequestKind, operation: Operation, api: OpenApi, origin: string): Promise<Set<number>> {
  const statuses = new Set<number>()
  const property = fc.asyncProperty(kind.requests, async (request) => {
    const response = await send(origin, request)
    statuses.add(response.status)
    expect(kind.status ? [kind.status] : ACCEPTED).toContain(response.status)
    expectDocumented(response, operation, api)
    // A 503 from the readiness probe reports the state, not an error.
    if (response.status >= 400 && operation.path !== '/readyz') expectProblemShape(response)
  })
  await fc.assert(property, { seed: SEED, numRuns: kind.runs ?? RUNS }).catch((cause) => {
    throw new Error(`${operation.id}, ${kind.name}: ${cause.message.slice(0, 2_000)}`)
  })
  return statuses
}
