import fc from 'fast-check'
import type { z } from 'zod'
import { toRange } from '../../reporting/series.ts'
import { CdnUrl, NewCdnUrl } from '../../shared/contracts/cdn-url.ts'
import { EventBatch } from '../../shared/contracts/event-batch.ts'
import { Metadata, MetadataFields } from '../../shared/contracts/metadata.ts'
import { SeriesQuery } from '../../shared/contracts/series.ts'
import { arbitraryOf, invalidOf } from './arbitrary.ts'
import type { Media, OpenApi, Operation, Parameter, Schema } from './openapi.ts'

export type Request = {
  method: string
  path: string
  headers: Values
  body?: string
  /** Number of spaces to send before the body. */
  padding?: number
  /** If true, the body is sent chunked, without a content-length. */
  chunked?: boolean
}

/** Requests with the same expected status. `status` is undefined for valid requests. */
export type RequestKind = { name: string; status?: number; requests: fc.Arbitrary<Request>; runs?: number }

type Values = Record<string, string>
type Input = { path: Values; query: Values; header: Values; body?: string | undefined }

/** Valid and invalid bodies of a media type. */
type Bodies = { type: string; tooLarge: number; valid: fc.Arbitrary<string>; invalid: fc.Arbitrary<string>[] }

/** Schemas with rules that JSON Schema cannot express, keyed by schema name. */
const REFINED: Record<string, z.ZodType> = {
  CdnUrl: CdnUrl.extend(NewCdnUrl.shape),
  CdnUrlFields: NewCdnUrl,
  EventBatch,
  Metadata,
  MetadataFields,
}

/** Rules for queries that JSON Schema cannot express, keyed by operation. */
const REFINED_QUERIES: Record<string, (query: Values) => boolean> = {
  'GET /events/series': isSeriesQuery,
  'GET /series': isSeriesQuery,
}

const MIB = 2 ** 20
const NDJSON = 'application/x-ndjson'

/** Returns valid requests for an operation, followed by all kinds of invalid requests that its description implies. */
export function requestKinds(
  operation: Operation,
  api: OpenApi,
  authorization: string,
): [RequestKind, ...RequestKind[]] {
  const { parameters, requestBody, security } = operation
  const bodies = bodiesOf(requestBody?.content ?? {}, api)
  const headers = { ...(security && { authorization }), ...(bodies && { 'content-type': bodies.type }) }
  const inputs = inputsOf(operation, bodies?.valid ?? fc.constant(undefined), api)
  const toRequests = (some: fc.Arbitrary<Input>) => some.map((input) => toRequest(operation, input, headers))
  const invalid = (name: string, some: fc.Arbitrary<Input>): RequestKind => {
    return { name: `with an invalid ${name}`, status: 400, requests: toRequests(some) }
  }
  const valid = toRequests(inputs)
  return [
    { name: 'valid', requests: valid },
    ...parameters.map((parameter) => invalid(parameter.name, withInvalidText(inputs, parameter, api))),
    ...(bodies?.invalid.map((body) => invalid('body', withBody(inputs, body))) ?? []),
    withHeader(valid, 'x-filler', 'x'.repeat(20_000), 431),
    ...(security ? ['', `${authorization}x`].map((value) => withHeader(valid, 'authorization', value, 401)) : []),
    ...(bodies ? unreadable(valid, bodies) : []),
  ]
}

/** Requests whose body is invalid under any schema. */
function unreadable(valid: fc.Arbitrary<Request>, { tooLarge }: Bodies): RequestKind[] {
  const changed = (name: string, status: number, change: Partial<Request>) => {
    return { name, status, requests: valid.map((request) => ({ ...request, ...change })), runs: 1 }
  }
  return [
    ...['', '{', '{"a":}', 'nul', '"'].map((body) => changed(`with the body ${body}`, 400, { body })),
    ...['', 'text/plain', 'application/jsonp'].map((type) => withHeader(valid, 'content-type', type, 415)),
    changed('without a length', 411, { chunked: true }),
    changed('that is too large', 413, { padding: tooLarge }),
  ]
}

function withHeader(valid: fc.Arbitrary<Request>, name: string, value: string, status: number): RequestKind {
  const requests = valid.map((request) => ({ ...request, headers: { ...request.headers, [name]: value } }))
  return { name: `with ${name}: ${value.slice(0, 40)}`, status, requests, runs: 1 }
}

function bodiesOf(content: Record<string, Media>, api: OpenApi): Bodies | undefined {
  const schema = content['application/json']?.schema
  if (schema) {
    const { valid, invalid } = valuesOf(schema, api)
    const toText = (values: fc.Arbitrary<unknown>) => values.map((value) => JSON.stringify(value))
    return { type: 'application/json', tooLarge: 20 * MIB + 1, valid: toText(valid), invalid: invalid.map(toText) }
  }
  const line = content[NDJSON]?.['x-itemSchema']
  return line && { type: NDJSON, tooLarge: 16 * MIB + 1, ...linesOf(line, api) }
}

/** A few lines of NDJSON, possibly with unknown fields. */
function linesOf(schema: Schema, api: OpenApi): Pick<Bodies, 'valid' | 'invalid'> {
  const { valid, invalid } = valuesOf(schema, api)
  const others = fc.dictionary(fc.string(), fc.jsonValue())
  const validLine = fc.tuple(others, valid).map(([other, asset]) => JSON.stringify({ ...other, ...Object(asset) }))
  const validLines = (minLength: number) => fc.array(validLine, { minLength, maxLength: 3 })
  const toText = (lines: fc.Arbitrary<string[]>) =>
    fc.tuple(lines, fc.constantFrom('\n', '\r\n', '\n \n')).map(([some, separator]) => some.join(separator))
  const invalidLine = (values: fc.Arbitrary<unknown>) =>
    values.filter((value) => !('unknown' in Object(value))).map((value) => JSON.stringify(value))
  const withInvalidLine = (values: fc.Arbitrary<unknown>) =>
    fc
      .tuple(validLines(0), invalidLine(values), validLines(0))
      .map(([before, line, after]) => [...before, line, ...after])
  return { valid: toText(validLines(1)), invalid: invalid.map((values) => toText(withInvalidLine(values))) }
}

/** Valid values, and values that the schema rejects or that only zod rejects. */
function valuesOf(schema: Schema, api: OpenApi) {
  const matching = arbitraryOf(schema, api)
  const refined = REFINED[schema.$ref?.split('/').at(-1) ?? '']
  if (!refined) return { valid: matching, invalid: [invalidOf(schema, api)] }
  const whereValid = (expected: boolean) => matching.filter((body) => isValid(refined, body) === expected)
  return { valid: whereValid(true), invalid: [invalidOf(schema, api), whereValid(false)] }
}

/** Returns undefined if zod throws; see parseSafely. */
function isValid(schema: z.ZodType, body: unknown): boolean | undefined {
  try {
    return schema.safeParse(body).success
  } catch {
    return undefined
  }
}

function inputsOf(
  { id, parameters }: Operation,
  body: fc.Arbitrary<string | undefined>,
  api: OpenApi,
): fc.Arbitrary<Input> {
  const textsIn = (place: Parameter['in']) => {
    const all = parameters.filter((parameter) => parameter.in === place)
    const texts = all.map(({ name, schema }) => [name, arbitraryOf(schema, api).map(String)] as const)
    const requiredKeys = all.filter(({ required }) => required).map(({ name }) => name)
    return fc.record(Object.fromEntries(texts), { requiredKeys })
  }
  const query = textsIn('query').filter(REFINED_QUERIES[id] ?? (() => true))
  return fc.record({ path: textsIn('path'), query, header: textsIn('header'), body })
}

function withBody(inputs: fc.Arbitrary<Input>, bodies: fc.Arbitrary<string>): fc.Arbitrary<Input> {
  return fc.tuple(inputs, bodies).map(([input, body]) => ({ ...input, body }))
}

function withInvalidText(inputs: fc.Arbitrary<Input>, parameter: Parameter, api: OpenApi): fc.Arbitrary<Input> {
  const { in: place, name } = parameter
  const texts = invalidTexts(parameter, api)
  return fc.tuple(inputs, texts).map(([input, text]) => ({ ...input, [place]: { ...input[place], [name]: text } }))
}

/** A value that is too long for every parameter. */
const TOO_LONG = '9'.repeat(300)

/**
 * Invalid values for a parameter. Excludes empty and dot segments in paths, because URL parsers resolve them, and
 * headers that a client cannot send.
 */
function invalidTexts({ in: place, schema }: Parameter, api: OpenApi): fc.Arbitrary<string> {
  const isNumber = schema.type === 'integer' || schema.type === 'number'
  const numbers = fc.oneof(fc.integer(), fc.double()).map(String)
  return fc
    .oneof(fc.string({ unit: 'binary' }), numbers, fc.constant(TOO_LONG))
    .filter((text) => place !== 'path' || !/^\.{0,2}$/.test(text))
    .filter((text) => place !== 'header' || /^[!-~]*$/.test(text))
    .filter((text) => !api.accepts(schema, isNumber ? Number(text) : text))
}

function toRequest({ method, path }: Operation, input: Input, headers: Values): Request {
  const { path: values, query, header, body } = input
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name] ?? ''))
  const search = new URLSearchParams(query).toString()
  return {
    method,
    path: search ? `${filled}?${search}` : filled,
    headers: { ...headers, ...header },
    ...(body !== undefined && { body }),
  }
}

function isSeriesQuery(query: Values): boolean {
  const parsed = SeriesQuery.safeParse(query)
  return parsed.success && !('message' in toRange(parsed.data, Date.now()))
}
