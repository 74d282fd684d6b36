import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { expectProblem } from '../shared/testing/expect-problem.ts'
import { jsonRequest } from '../shared/testing/json-request.ts'
import { expectDocumented, send } from './harness/responses.ts'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { natsVersion } from './harness/nats-server.ts'
import { loadOpenApi, type OpenApi, type Operation } from './harness/openapi.ts'
import { freePort } from './harness/ports.ts'
import { type RequestKind, requestKinds } from './harness/requests.ts'
import { startService } from './harness/service-process.ts'
import { startSystem } from './harness/system.ts'

const SEED = Number(process.env.CONTRACT_SEED ?? 20_261_121)
const RUNS = 15
const authorization = 'Bearer conforming'
/** A right request may ask for what is not there, or come at another position. */
const ACCEPTED = [200, 404, 409]

const modes = [
  { mode: 'as processes', start: startSystem, skip: !natsVersion },
  { mode: 'embedded', start: startEmbedded, skip: false },
]

describe.each(modes)(`$mode, with CONTRACT_SEED=${SEED}`, { timeout: 60_000 }, ({ start, skip }) => {
  let system: Services
  beforeAll(async () => {
    if (!skip) system = await start({ WRITE_TOKEN: 'conforming' })
  }, 30_000)
  afterAll(() => system?.[Symbol.asyncDispose]())

  test.skipIf(skip).each(['metadata', 'cdnurl', 'reporting', 'listener', 'play'] as const)(
    '%s answers as its document says, and with every status that this names',
    async (name) => {
      const { url } = system[name]
      const api = await loadOpenApi(url)
      expect(api.operations.length).toBeGreaterThan(2)
      for (const operation of api.operations) {
        await restoreExamples()
        const statuses = new Set<number>()
        for (const kind of requestKinds(operation, api, authorization)) {
          for (const status of await answersTo(kind, operation, api, url)) statuses.add(status)
        }
        const named = Object.keys(operation.responses).map(Number)
        // It takes more than a request.
        const expected = named.filter((status) => status !== 503)
        expect([operation.id, ...statuses].toSorted()).toEqual([operation.id, ...expected].toSorted())
      }
      await expectOthersRefused(api, url)
    },
  )

  /** Sees to it that what the examples in the documents speak of is there. */
  async function restoreExamples(): Promise<void> {
    const post = async (url: string, body: object) => {
      expect((await fetch(url, jsonRequest(body, { authorization }))).status).toBe(200)
    }
    await post(`${system.metadata.url}/content/asset/456`, { title: 'Terminator', genre: 'action', summary: '' })
    await post(`${system.cdnurl.url}/url/asset/456`, { url: 'path/to/asset456.mp4' })
    await post(`${system.reporting.url}/events/asset/456/user/8`, {})
  }
})

test.each(['metadata', 'cdnurl', 'queue-listener', 'play'])(
  'where nothing else is there, %s answers 503 to whatever may be answered so',
  async (name) => {
    const nobody = `127.0.0.1:${await freePort()}`
    const urls = { METADATA_URL: `http://${nobody}`, CDNURL_URL: `http://${nobody}`, REPORTING_URL: `http://${nobody}` }
    const env = { ...urls, NATS_URL: nobody, DATA_DIR: '/dev/null/none' }
    await using service = await startService(name, env)
    const api = await loadOpenApi(service.url)
    // A stream waits with whoever listens.
    const operations = api.operations.filter(({ responses }) => '503' in responses && !isStream(responses))
    expect(operations.length).toBeGreaterThan(0)
    for (const operation of operations) {
      const [right] = requestKinds(operation, api, authorization)
      const answers = await answersTo({ ...right, status: 503, runs: 3 }, operation, api, service.url)
      expect([operation.id, ...answers]).toEqual([operation.id, 503])
    }
  },
)

function isStream({ 200: done }: Operation['responses']): boolean {
  return done?.content?.['text/event-stream'] !== undefined
}

/** Every path that the document has refuses the methods for which it has no operation, and says which it takes. */
async function expectOthersRefused({ operations }: OpenApi, origin: string): Promise<void> {
  for (const [path, known] of Map.groupBy(operations, (operation) => operation.path)) {
    const taken = known.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((other) => !taken.includes(other))) {
      const answer = await fetch(origin + path.replace(/\{\w+\}/g, '456'), { method })
      await expectProblem(answer, 405)
      expect(answer.headers.get('allow')?.split(', ').toSorted()).toEqual(taken.toSorted())
    }
  }
}

/** Sends requests of a kind, checks each answer, and gives the statuses that came. */
async function answersTo(kind: RequestKind, operation: Operation, api: OpenApi, origin: string): Promise<Set<number>> {
  const statuses = new Set<number>()
  const property = fc.asyncProperty(kind.requests, async (request) => {
    const answer = await send(origin, request)
    statuses.add(answer.status)
    expect(kind.status ? [kind.status] : ACCEPTED).toContain(answer.status)
    expectDocumented(answer, operation, api)
  })
  await fc.assert(property, { seed: SEED, numRuns: kind.runs ?? RUNS }).catch((cause) => {
    throw new Error(`${operation.id}, ${kind.name}: ${cause.message.slice(0, 2_000)}`)
  })
  return statuses
}
