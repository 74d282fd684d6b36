import fc from 'fast-check'
import type { z } from 'zod'
import { CdnUrl, CdnUrlFields } from '../../shared/contracts/cdn-url.ts'
import { EventBatch } from '../../shared/contracts/event-batch.ts'
import { arbitraryOf, spoiledOf } from './arbitrary.ts'
import type { Media, OpenApi, Operation, Parameter, Schema } from './openapi.ts'

export type Request = {
  method: string
  path: string
  headers: Values
  body?: string
  /** How many blanks are sent before the body. */
  blanks?: number
  /** Sent without a length. */
  chunked?: boolean
}

/** Requests that are alike, and the status that they are to be answered with; undefined where they are right. */
export type RequestKind = { name: string; status?: number; requests: fc.Arbitrary<Request>; runs?: number }

type Values = Record<string, string>
type Input = { path: Values; query: Values; body?: string | undefined }

/** A body of a media type: texts that the schema allows, and those that it does not. */
type Bodies = { type: string; tooLarge: number; right: fc.Arbitrary<string>; wrong: fc.Arbitrary<string>[] }

/** Schemas that ask for more than JSON Schema can say, by their names in the documents. */
const REFINED: Record<string, z.ZodType> = { CdnUrl, CdnUrlFields, EventBatch }

const MIB = 2 ** 20
const NDJSON = 'application/x-ndjson'

/** Right requests for an operation first, then wrong ones of each kind that its description lets one think of. */
export function requestKinds(
  operation: Operation,
  api: OpenApi,
  authorization: string,
): [RequestKind, ...RequestKind[]] {
  const { parameters, requestBody, security } = operation
  const bodies = bodiesOf(requestBody?.content ?? {}, api)
  const headers = { ...(security && { authorization }), ...(bodies && { 'content-type': bodies.type }) }
  const inputs = inputsOf(operation, bodies?.right ?? fc.constant(undefined), api)
  const toRequests = (some: fc.Arbitrary<Input>) => some.map((input) => toRequest(operation, input, headers))
  const bad = (name: string, some: fc.Arbitrary<Input>): RequestKind => {
    return { name: `with a bad ${name}`, status: 400, requests: toRequests(some) }
  }
  const right = toRequests(inputs)
  return [
    { name: 'right', requests: right },
    ...parameters.map((parameter) => bad(parameter.name, withBadText(inputs, parameter, api))),
    ...(bodies?.wrong.map((wrong) => bad('body', withBody(inputs, wrong))) ?? []),
    withHeader(right, 'x-filler', 'x'.repeat(20_000), 431),
    ...(security ? ['', `${authorization}x`].map((value) => withHeader(right, 'authorization', value, 401)) : []),
    ...(bodies ? unreadable(right, bodies) : []),
  ]
}

/** Requests whose body is not taken, whatever the schema says. */
function unreadable(right: fc.Arbitrary<Request>, { tooLarge }: Bodies): RequestKind[] {
  const changed = (name: string, status: number, change: Partial<Request>) => {
    return { name, status, requests: right.map((request) => ({ ...request, ...change })), runs: 1 }
  }
  return [
    ...['', '{', '{"a":}', 'nul', '"'].map((body) => changed(`with the body ${body}`, 400, { body })),
    ...['', 'text/plain', 'application/jsonp'].map((type) => withHeader(right, 'content-type', type, 415)),
    changed('without a length', 411, { chunked: true }),
    changed('that is too large', 413, { blanks: tooLarge }),
  ]
}

function withHeader(right: fc.Arbitrary<Request>, name: string, value: string, status: number): RequestKind {
  const requests = right.map((request) => ({ ...request, headers: { ...request.headers, [name]: value } }))
  return { name: `with ${name}: ${value.slice(0, 40)}`, status, requests, runs: 1 }
}

function bodiesOf(content: Record<string, Media>, api: OpenApi): Bodies | undefined {
  const schema = content['application/json']?.schema
  if (schema) {
    const { right, wrong } = valuesOf(schema, api)
    const toText = (values: fc.Arbitrary<unknown>) => values.map((value) => JSON.stringify(value))
    return { type: 'application/json', tooLarge: 4 * MIB + 1, right: toText(right), wrong: wrong.map(toText) }
  }
  const line = content[NDJSON]?.['x-itemSchema']
  return line && { type: NDJSON, tooLarge: 16 * MIB + 1, ...linesOf(line, api) }
}

/** Texts of a few lines. Lines may have fields that the schema does not name. */
function linesOf(schema: Schema, api: OpenApi): Pick<Bodies, 'right' | 'wrong'> {
  const { right, wrong } = valuesOf(schema, api)
  const others = fc.dictionary(fc.string(), fc.jsonValue())
  const rightLine = fc.tuple(others, right).map(([other, asset]) => JSON.stringify({ ...other, ...Object(asset) }))
  const rightLines = (minLength: number) => fc.array(rightLine, { minLength, maxLength: 3 })
  const toText = (lines: fc.Arbitrary<string[]>) =>
    fc.tuple(lines, fc.constantFrom('\n', '\r\n', '\n \n')).map(([some, separator]) => some.join(separator))
  const wrongLine = (values: fc.Arbitrary<unknown>) =>
    values.filter((value) => !('unknown' in Object(value))).map((value) => JSON.stringify(value))
  const withWrongLine = (values: fc.Arbitrary<unknown>) =>
    fc
      .tuple(rightLines(0), wrongLine(values), rightLines(0))
      .map(([before, line, after]) => [...before, line, ...after])
  return { right: toText(rightLines(1)), wrong: wrong.map((values) => toText(withWrongLine(values))) }
}

/** Values that a schema allows, and those that it does not: by itself, and where zod asks for more. */
function valuesOf(schema: Schema, api: OpenApi) {
  const allowed = arbitraryOf(schema, api)
  const refined = REFINED[schema.$ref?.split('/').at(-1) ?? '']
  if (!refined) return { right: allowed, wrong: [spoiledOf(schema, api)] }
  const isRight = (body: unknown) => refined.safeParse(body).success
  return { right: allowed.filter(isRight), wrong: [spoiledOf(schema, api), allowed.filter((body) => !isRight(body))] }
}

function inputsOf(
  { parameters }: Operation,
  body: fc.Arbitrary<string | undefined>,
  api: OpenApi,
): fc.Arbitrary<Input> {
  const textsIn = (place: Parameter['in']) => {
    const all = parameters.filter((parameter) => parameter.in === place)
    const texts = all.map(({ name, schema }) => [name, arbitraryOf(schema, api).map(String)] as const)
    const requiredKeys = all.filter(({ required }) => required).map(({ name }) => name)
    return fc.record(Object.fromEntries(texts), { requiredKeys })
  }
  return fc.record({ path: textsIn('path'), query: textsIn('query'), body })
}

function withBody(inputs: fc.Arbitrary<Input>, bodies: fc.Arbitrary<string>): fc.Arbitrary<Input> {
  return fc.tuple(inputs, bodies).map(([input, body]) => ({ ...input, body }))
}

function withBadText(inputs: fc.Arbitrary<Input>, parameter: Parameter, api: OpenApi): fc.Arbitrary<Input> {
  const { in: place, name } = parameter
  const texts = badTexts(parameter, api)
  return fc.tuple(inputs, texts).map(([input, text]) => ({ ...input, [place]: { ...input[place], [name]: text } }))
}

/** Texts that are no value of a parameter. A path's part is neither empty nor one that URLs resolve. */
function badTexts({ in: place, schema }: Parameter, api: OpenApi): fc.Arbitrary<string> {
  const isNumber = schema.type === 'integer' || schema.type === 'number'
  const numbers = fc.oneof(fc.integer(), fc.double()).map(String)
  return fc
    .oneof(fc.string({ unit: 'binary' }), numbers, fc.constant('9'.repeat(200)))
    .filter((text) => place === 'query' || !/^\.{0,2}$/.test(text))
    .filter((text) => !api.accepts(schema, isNumber ? Number(text) : text))
}

function toRequest({ method, path }: Operation, { path: values, query, body }: Input, headers: Values): Request {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name] ?? ''))
  const search = new URLSearchParams(query).toString()
  return {
    method,
    path: search ? `${filled}?${search}` : filled,
    headers,
    ...(body !== undefined && { body }),
  }
}
