import fc from 'fast-check'
import type { OpenApi, Schema } from './openapi.ts'

/**
 * Generates values that match a schema in the OpenAPI document, including its examples.
 * @throws Error for an unsupported schema
 */
export function arbitraryOf(schema: Schema, api: OpenApi): fc.Arbitrary<unknown> {
  if (schema.$ref) return arbitraryOf(api.resolve(schema), api)
  const generated = generate(schema, api)
  return schema.examples ? fc.oneof(fc.constantFrom(...schema.examples), generated) : generated
}

/** Generates invalid values that differ from a valid value in a single place. */
export function invalidOf(schema: Schema, api: OpenApi): fc.Arbitrary<unknown> {
  return arbitraryOf(schema, api)
    .map((value) => [...mutantsOf(value)].filter((mutant) => !api.accepts(schema, mutant)))
    .chain((mutants) => fc.constantFrom(...mutants))
}

function generate(schema: Schema, api: OpenApi): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (Object.keys(schema).length === 0) return fc.jsonValue()
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((option) => arbitraryOf(option, api)))
  switch (schema.type) {
    case 'null':
      return fc.constant(null)
    case 'boolean':
      return fc.boolean()
    case 'integer':
      return fc.integer({ min: schema.minimum ?? -(2 ** 31), max: schema.maximum ?? 2 ** 31 })
    case 'number':
      return number(schema)
    case 'string':
      return text(schema)
    case 'array':
      return fc.array(arbitraryOf(schema.items ?? {}, api), {
        minLength: schema.minItems ?? 0,
        maxLength: schema.maxItems ?? 10,
      })
    case 'object':
      return object(schema, api)
    default:
      throw new Error(`unsupported schema: ${JSON.stringify(schema)}`)
  }
}

function number({ minimum, exclusiveMinimum, maximum }: Schema): fc.Arbitrary<number> {
  const min = exclusiveMinimum ?? minimum ?? -Number.MAX_VALUE
  const excluded = { minExcluded: exclusiveMinimum !== undefined, noNaN: true }
  return fc.double({ min, max: maximum ?? Number.MAX_VALUE, ...excluded })
}

function text({ format, pattern, minLength = 0, maxLength = 1_000 }: Schema): fc.Arbitrary<string> {
  if (format === 'date-time') {
    const years = { min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T00:00:00Z') }
    return fc.date({ ...years, noInvalidDate: true }).map((date) => date.toISOString())
  }
  if (pattern) return fc.stringMatching(new RegExp(pattern))
  const random = fc.string({ unit: 'binary', minLength, maxLength })
  return fc.oneof({ arbitrary: random, weight: 8 }, fc.constantFrom('x'.repeat(maxLength), '😀'.repeat(maxLength)))
}

function object({ properties = {}, required = [], additionalProperties }: Schema, api: OpenApi) {
  const defined = Object.entries(properties).map(([name, schema]) => [name, arbitraryOf(schema, api)] as const)
  const fields = fc.record(Object.fromEntries(defined), { requiredKeys: required })
  if (!additionalProperties) return fields
  const others = fc.dictionary(fc.string(), arbitraryOf(additionalProperties, api))
  return fc.tuple(others, fields).map(([other, field]) => ({ ...other, ...field }))
}

const REPLACEMENTS = [null, true, -1, 7.5, '', 'x'.repeat(10_000), [], {}]

/** Yields all single mutations of a value: a field added or removed, or a value replaced, at any depth. */
function* mutantsOf(value: unknown): Generator<unknown> {
  yield* REPLACEMENTS
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      for (const mutant of mutantsOf(item)) yield value.with(index, mutant)
    }
  } else if (typeof value === 'object' && value !== null) {
    yield { ...value, unknown: 1 }
    for (const [name, field] of Object.entries(value)) {
      yield Object.fromEntries(Object.entries(value).filter(([other]) => other !== name))
      for (const mutant of mutantsOf(field)) yield { ...value, [name]: mutant }
    }
  }
}
