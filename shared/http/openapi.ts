import { type DescribeRouteOptions, describeRoute, resolver } from 'hono-openapi'
import { z } from 'zod'
import { Problem } from '../contracts/status.ts'
import { statusTextOf } from './errors.ts'

type Description = {
  /** Unique within the service. Made from method and path where none is given. */
  operationId?: string
  summary: string
  description?: string
  /** The name of the service, where none are given. */
  tags?: string[]
  /** Answers of this route's own, by status. */
  answers: Record<number, z.ZodType | Text>
  /** A body that no schema validates as a whole. */
  requestBody?: NonNullable<DescribeRouteOptions['requestBody']>
  /** Statuses that are answered with a Problem. */
  problems?: number[]
  /** By status, what is answered instead: a Problem with more fields. */
  problemSchemas?: Record<number, z.ZodType>
  /** Whether it needs the write token, where there is one. */
  isWrite?: boolean
}

/** An answer that is not JSON: its media type, and how it may look. */
export type Text = { type: string; example: string }

const meanings: Record<number, string> = {
  200: 'Done',
  400: 'The request is invalid; each bad field is named',
  401: 'The write token is missing or wrong',
  404: 'There is no such thing',
  409: 'The state does not allow it',
  411: 'The request has no content-length',
  413: 'The body is too large',
  415: 'The body has another media type',
  503: 'Not now',
}

const text = { type: 'string' as const }
const REQUEST_ID = {
  description: 'The id of the request: the one that it came with in the same header, or a new one',
  required: true,
  schema: { ...text, examples: ['0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90'] },
}
/** Node's own answer, before a route is found. */
const HEADERS_TOO_LARGE = {
  description: 'The headers are longer than 16 KiB. The answer has no body and no x-request-id',
}

/** Headers of a Problem, by its status. */
const problemHeaders: Record<number, object> = {
  401: { 'www-authenticate': { required: true, schema: { ...text, const: 'Bearer' } } },
  503: {
    'retry-after': {
      description: 'Seconds to wait before asking again',
      required: true,
      schema: { ...text, pattern: '^\\d+$', examples: ['1'] },
    },
  },
}

/** The name of the write token in OpenAPI documents. */
export const WRITE_TOKEN_SCHEME = 'writeToken'

/** What a JSON body can get wrong. */
export const BODY_PROBLEMS = [400, 411, 413, 415]

/** A route's part of the OpenAPI document. */
export function describe({ answers, problems = [], problemSchemas, isWrite = false, ...words }: Description) {
  const refusals = isWrite ? [401, ...problems] : problems
  const responses = {
    431: HEADERS_TOO_LARGE,
    ...Object.fromEntries(refusals.map((status) => [status, problemResponse(status, problemSchemas?.[status])])),
    ...Object.fromEntries(
      Object.entries(answers).map(([status, answer]) => [status, response(Number(status), answer)]),
    ),
  }
  return describeRoute({ ...words, ...(isWrite && { security: [{ [WRITE_TOKEN_SCHEME]: [] }, {}] }), responses })
}

function response(status: number, answer: z.ZodType | Text) {
  const content =
    answer instanceof z.ZodType
      ? { 'application/json': { schema: resolver(answer) } }
      : { [answer.type]: { schema: text, example: answer.example } }
  return { description: meanings[status] ?? '', headers: { 'x-request-id': REQUEST_ID }, content }
}

function problemResponse(status: number, schema?: z.ZodType) {
  const example: Problem = {
    status: statusTextOf(status),
    ...(status === 400 && { errors: [{ path: 'assetId', message: 'must start with a letter or digit' }] }),
    requestId: '0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90',
  }
  return {
    description: meanings[status] ?? '',
    headers: { 'x-request-id': REQUEST_ID, ...problemHeaders[status] },
    content: { 'application/json': schema ? { schema: resolver(schema) } : { schema: resolver(Problem), example } },
  }
}
