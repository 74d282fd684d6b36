import { Readable } from 'node:stream'
import { getGlobalDispatcher } from 'undici'
import { expect } from 'vitest'
import type { OpenApi, Operation } from './openapi.ts'
import type { Request } from './requests.ts'

export type Answer = { status: number; headers: Record<string, string>; text: string }

/** Sends a request as it is, without what `fetch` corrects in it. Of a stream of events only the head is read. */
export async function send(
  origin: string,
  { method, path, headers, body, blanks = 0, chunked }: Request,
): Promise<Answer> {
  const text = body === undefined ? null : ' '.repeat(blanks) + body
  const response = await getGlobalDispatcher().request({
    origin,
    method,
    path,
    headers,
    body: chunked ? Readable.from([text]) : text,
  })
  const answer = { status: response.statusCode, headers: Object(response.headers) }
  if (!answer.headers['content-type']?.startsWith('text/event-stream')) {
    return { ...answer, text: await response.body.text() }
  }
  response.body.on('error', () => {}).destroy()
  return { ...answer, text: '' }
}

/** Node refuses headers that are too long by itself, without any of its own. */
const NO_HEADERS = 431

/** Checks status, headers, media type and JSON of an answer against the description of its operation. */
export function expectDocumented({ status, headers, text }: Answer, operation: Operation, api: OpenApi): void {
  const described = operation.responses[status]
  if (!described) throw new Error(`the document has no ${status}`)
  for (const [name, { required, schema }] of Object.entries(described.headers ?? {})) {
    if (required) expect(headers).toHaveProperty(name)
    if (headers[name] !== undefined) api.expectValid(schema, headers[name])
  }
  if (status !== NO_HEADERS) expect(headers).toHaveProperty('x-content-type-options', 'nosniff')
  for (const name of ['server', 'x-powered-by']) expect(headers).not.toHaveProperty(name)
  const { content = {} } = described
  const [type = ''] = headers['content-type']?.split(';') ?? []
  if (!content[type] && (type || text)) throw new Error(`the document has no ${status} of the type ${type}`)
  if (type === 'application/json') api.expectValid(content[type]?.schema ?? {}, JSON.parse(text))
}
