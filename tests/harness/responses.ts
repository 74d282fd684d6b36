import { Readable } from 'node:stream'
import { getGlobalDispatcher } from 'undici'
import { expect } from 'vitest'
import type { OpenApi, Operation } from './openapi.ts'
import type { Request } from './requests.ts'

export type RawResponse = { status: number; headers: Record<string, string>; text: string }

/** Sends a request as is, without `fetch`'s normalization. Reads only the headers if it gets an event stream. */
export async function send(
  origin: string,
  { method, path, headers, body, padding = 0, chunked }: Request,
): Promise<RawResponse> {
  const text = body === undefined ? null : ' '.repeat(padding) + body
  const response = await getGlobalDispatcher().request({
    origin,
    method,
    path,
    headers,
    body: chunked ? Readable.from([text]) : text,
  })
  const head = { status: response.statusCode, headers: Object(response.headers) }
  if (!head.headers['content-type']?.startsWith('text/event-stream')) {
    return { ...head, text: await response.body.text() }
  }
  response.body.on('error', () => {}).destroy()
  return { ...head, text: '' }
}

/** Checks the status, headers, media type and JSON of a response against its operation's description. */
export function expectDocumented({ status, headers, text }: RawResponse, operation: Operation, api: OpenApi): void {
  const described = operation.responses[status]
  if (!described) throw new Error(`the document has no ${status} response`)
  for (const [name, { required, schema }] of Object.entries(described.headers ?? {})) {
    if (required) expect(headers).toHaveProperty(name)
    if (headers[name] !== undefined) api.expectValid(schema, headers[name])
  }
  expect(headers).toHaveProperty('x-content-type-options', 'nosniff')
  for (const name of ['server', 'x-powered-by']) expect(headers).not.toHaveProperty(name)
  const { content = {} } = described
  const [type = ''] = headers['content-type']?.split(';') ?? []
  if (!content[type] && (type || text)) throw new Error(`the document has no ${status} response of type ${type}`)
  if (type === 'application/json') api.expectValid(content[type]?.schema ?? {}, JSON.parse(text))
}

/** Checks the common shape of errors. */
export function expectProblemShape({ headers, text }: RawResponse): void {
  const requestId = headers['x-request-id']
  expect(requestId).toMatch(/./)
  expect(JSON.parse(text)).toMatchObject({ status: expect.stringMatching(/./), requestId })
}
