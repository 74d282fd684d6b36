import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { expectLintFindsNothing } from './harness/lint.ts'
import { loadOpenApi, type Media, type OpenApi, type Schema } from './harness/openapi.ts'
import { getJson } from './harness/plays.ts'

const services = ['metadata', 'cdnurl', 'reporting', 'listener', 'play'] as const

describe('the document', () => {
  let system: Services
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'contracts-'))
    system = await startEmbedded()
  }, 30_000)
  afterAll(async () => {
    await system?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  test.each(services)('of %s gives lint nothing to find', async (name) => {
    const file = join(folder, `${name}.json`)
    await writeFile(file, JSON.stringify(await getJson(`${system[name].url}/openapi.json`)))
    await expectLintFindsNothing(file)
  })

  test.each(services)('of %s has a valid example of all that is sent and answered', async (name) => {
    const api = await loadOpenApi(system[name].url)
    for (const operation of api.operations) {
      const { id, parameters, requestBody, responses } = operation
      for (const { name, schema } of parameters) expectExample(`${id}, ${name}`, { schema }, api)
      const contents = [requestBody, ...Object.values(responses)].map((described) => described?.content ?? {})
      for (const [type, media] of contents.flatMap(Object.entries<Media>)) expectExample(`${id}, ${type}`, media, api)
    }
  })
})

function expectExample(place: string, { schema, example }: Media, api: OpenApi): void {
  const examples = example === undefined ? examplesOf(schema, api) : [example]
  expect(examples.length, place).toBeGreaterThan(0)
  for (const one of examples) api.expectValid(schema, one)
}

/** A value that is one of few, or has a default, needs no example. */
function examplesOf(schema: Schema, api: OpenApi): unknown[] {
  const { examples, enum: values, default: fallback, anyOf = [] } = api.resolve(schema)
  return examples ?? values ?? (fallback === undefined ? anyOf.flatMap((one) => examplesOf(one, api)) : [fallback])
}
