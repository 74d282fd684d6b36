import { type DescribeRouteOptions, describeRoute, resolver } from 'hono-openapi'
import { z } from 'zod'
import { Problem, toStatusText } from '../contracts/status.ts'

type Operation = {
  /** Unique within the service. Derived from method and path by default. */
  operationId?: string
  summary: string
  description?: string
  /** The operation's tags. Default: the service's name. */
  tags?: string[]
  /** Responses by status; an array if the client can choose the media type. */
  responses: Record<number, Response | Response[]>
  /** Headers for the 200 response by name, besides the common headers. */
  responseHeaders?: Record<string, object>
  /** Describes parameters that are not validated by a schema. */
  parameters?: NonNullable<DescribeRouteOptions['parameters']>
  /** Describes a body that is not validated by a single schema. */
  requestBody?: NonNullable<DescribeRouteOptions['requestBody']>
  /** Statuses whose response is a plain Problem. */
  problems?: number[]
  /** Schemas for Problems with additional fields, by status. */
  problemSchemas?: Record<number, z.ZodType>
  /** If true, the route requires the write token whenever one is set. */
  isWrite?: boolean
  /** If true, the route requires the read token or the write token whenever a read token is set. */
  namesUsers?: boolean
  /** Security schemes that authorize a call, besides the read token and the write token. Any one scheme suffices. */
  security?: SecurityScheme[]
}

/** A response that is not JSON. */
type TextResponse = { type: string; example: string }

type Response = z.ZodType | TextResponse

const descriptions: Record<number, string> = {
  200: 'Success',
  400: 'The request is invalid; `errors` names each invalid field',
  401: 'The token is missing or wrong',
  403: 'Not allowed for this token, origin or asset',
  404: 'Not found',
  408: 'The body took more than 10 s to arrive',
  409: 'The request conflicts with the current state',
  411: 'The request has no content-length',
  413: 'The body is too large',
  415: 'The body has an unsupported media type',
  422: 'The idempotency key was used for another request',
  429: 'A rate limit is exceeded',
  431: 'The headers exceed 16 KiB',
  451: "Not available in the viewer's country",
  503: 'Temporarily unavailable',
  507: 'There is no room for the counts of new ids',
}

const text = { type: 'string' as const }

const REQUEST_ID = {
  description: 'The `x-request-id` of the request, or a generated one',
  required: true,
  schema: { ...text, examples: ['0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90'] },
}

const RETRY_AFTER = {
  description: 'Seconds to wait before retrying',
  required: true,
  schema: { ...text, pattern: '^\\d+$', examples: ['1'] },
}

const problemHeaders: Record<number, object> = {
  401: { 'www-authenticate': { required: true, schema: { ...text, const: 'Bearer' } } },
  429: {
    'retry-after': RETRY_AFTER,
    RateLimit: { required: true, schema: { ...text, examples: ['"client";r=0;t=12'] } },
    'RateLimit-Policy': { required: true, schema: { ...text, examples: ['"client";q=600;w=60'] } },
  },
  503: { 'retry-after': RETRY_AFTER },
}

const bearer = { type: 'http', scheme: 'bearer' } as const

/** The security schemes that operations refer to. */
export const securitySchemes = {
  writeToken: bearer,
  viewerToken: { ...bearer, bearerFormat: 'JWT', description: 'A token that the identity provider issued to the user' },
  readToken: { ...bearer, description: 'READ_TOKEN, for operators' },
} as const

export type SecurityScheme = keyof typeof securitySchemes

/** The 401 response from a route that requires a user's token. */
const viewerUnauthorized = {
  description: 'The token is missing, invalid or expired; `www-authenticate` says why (RFC 6750)',
  header: { required: true, schema: { ...text, pattern: '^Bearer', examples: ['Bearer error="invalid_token"'] } },
}

/** The errors for a route with a body. */
export const BODY_PROBLEMS = [400, 408, 411, 413, 415, 503]

/** Documents a route in the service's OpenAPI document. */
export function describeOperation(operation: Operation) {
  const {
    responses,
    responseHeaders,
    problems = [],
    problemSchemas,
    isWrite = false,
    namesUsers = false,
    security = [],
    ...rest
  } = operation
  const errors = isWrite || namesUsers ? [401, ...problems] : problems
  return describeRoute({
    ...rest,
    ...(isWrite && { security: [toRequirement('writeToken'), {}] }),
    ...(namesUsers && { security: [toRequirement('readToken'), toRequirement('writeToken'), {}] }),
    ...(security.length > 0 && { security: security.map(toRequirement) }),
    responses: {
      431: toProblemResponse(431),
      ...Object.fromEntries(errors.map((status) => [status, toProblemResponse(status, problemSchemas?.[status])])),
      ...(security.length > 0 && { 401: toUnauthorizedResponse() }),
      ...Object.fromEntries(
        Object.entries(responses).map(([status, response]) => [
          status,
          toResponse(Number(status), response, status === '200' ? responseHeaders : {}),
        ]),
      ),
    },
  })
}

function toResponse(status: number, responses: Response | Response[], headers: object = {}) {
  const content = Object.assign({}, ...[responses].flat().map(toContent))
  return { description: descriptions[status] ?? '', headers: { 'x-request-id': REQUEST_ID, ...headers }, content }
}

function toContent(response: Response) {
  if (response instanceof z.ZodType) return { 'application/json': { schema: resolver(response) } }
  return { [response.type]: { schema: text, example: response.example } }
}

function toRequirement(scheme: SecurityScheme) {
  return { [scheme]: [] }
}

function toUnauthorizedResponse() {
  const { description, header } = viewerUnauthorized
  const response = toProblemResponse(401)
  return { ...response, description, headers: { ...response.headers, 'www-authenticate': header } }
}

function toProblemResponse(status: number, schema?: z.ZodType) {
  const example: Problem = {
    status: toStatusText(status),
    ...(status === 400 && { errors: [{ path: 'assetId', message: 'must start with a letter or digit' }] }),
    requestId: '0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90',
  }
  return {
    description: descriptions[status] ?? '',
    headers: { 'x-request-id': REQUEST_ID, ...problemHeaders[status] },
    content: { 'application/json': schema ? { schema: resolver(schema) } : { schema: resolver(Problem), example } },
  }
}
