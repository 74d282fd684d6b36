import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serviceNames } from './harness/each-service.ts'
import { type Services, startEmbedded } from './harness/embedded.ts'
import { expectNoLintFindings } from './harness/lint.ts'
import { loadOpenApi, type Media, type OpenApi, type Schema } from './harness/openapi.ts'
import { getJson } from './harness/plays.ts'
import { createTempDirectory } from './harness/temp-directory.ts'

describe('the OpenAPI document', () => {
  const stack = new AsyncDisposableStack()
  let system: Services
  let directory: string
  beforeAll(async () => {
    directory = stack.use(await createTempDirectory('contracts')).path
    system = stack.use(await startEmbedded())
  })
  afterAll(() => stack.disposeAsync())

  test.concurrent.each(serviceNames)('of %s has no lint findings', async (name) => {
    const file = join(directory, `${name}.json`)
    await writeFile(file, JSON.stringify(await getJson(`${system[name].url}/openapi.json`)))
    await expectNoLintFindings(file)
  })

  test.each(serviceNames)('of %s has a valid example for every parameter, request and response', async (name) => {
    const api = await loadOpenApi(system[name].url)
    expect(api.operations.length).toBeGreaterThan(2)
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
  for (const example of examples) api.expectValid(schema, example)
}

/** If a schema has no examples, its enum or default provides them. */
function examplesOf(schema: Schema, api: OpenApi): unknown[] {
  const { examples, enum: values, default: fallback, anyOf = [] } = api.resolve(schema)
  return examples ?? values ?? (fallback === undefined ? anyOf.flatMap((one) => examplesOf(one, api)) : [fallback])
}
