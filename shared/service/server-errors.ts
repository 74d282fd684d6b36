import { randomUUID } from 'node:crypto'
import { type IncomingMessage, type Server, ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { toProblem } from '../contracts/status.ts'
import { codeOf } from '../runtime/error-code.ts'
import type { Logger } from '../runtime/log.ts'
import { toReason } from '../runtime/reason.ts'
import { REQUEST_ID, toRequestId } from '../runtime/request-id.ts'

const STATUS_BY_CODE: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}

/** Gives the common error shape to the responses that Node itself sends before a request reaches the app. */
export function handleServerErrors(server: Server, log: Logger): void {
  server.on('clientError', (error, socket) => {
    const code = codeOf(error)
    if (code === 'ECONNRESET' || !socket.writable || isResponding(socket)) return socket.destroy()
    const status = STATUS_BY_CODE[code ?? ''] ?? 400
    const requestId = randomUUID()
    log.debug({ requestId, status, reason: toReason(error) }, 'cannot read the request')
    socket.end(toMessage(status, requestId), () => socket.destroy())
  })
  server.on('connect', ({ headers }, socket) => {
    // Node has removed its own error handler from the socket, so add one.
    socket.on('error', () => socket.destroy())
    if (isResponding(socket)) return socket.destroy()
    socket.end(toMessage(501, toRequestId(headers[REQUEST_ID])), () => socket.destroy())
  })
  server.on('checkExpectation', (request, response) => sendProblem(request, response, 417))
}

/** Responds to a request that does not reach the app. */
export function sendProblem({ headers }: IncomingMessage, response: ServerResponse, status: number): void {
  const requestId = toRequestId(headers[REQUEST_ID])
  const body = JSON.stringify(toProblem(status, requestId))
  response.writeHead(status, { ...headersOf(requestId), 'content-length': Buffer.byteLength(body) }).end(body)
}

/** The response to a request that Hono's adapter rejects, such as one with an invalid Host. */
export function respondRejected(error: unknown, { headers }: Pick<IncomingMessage, 'headers'>): Response {
  const status = error instanceof Error && error.name === 'RequestError' ? 400 : 500
  const requestId = toRequestId(headers[REQUEST_ID])
  const errors = status === 400 ? [{ path: '', message: toReason(error) }] : undefined
  return Response.json(toProblem(status, requestId, errors), { status, headers: headersOf(requestId) })
}

/** Returns true once a response has started: an error response would corrupt it. Node itself checks the same field. */
function isResponding(socket: Duplex): boolean {
  return '_httpMessage' in socket && socket._httpMessage instanceof ServerResponse && socket._httpMessage.headersSent
}

function headersOf(requestId: string) {
  return { 'content-type': 'application/json', [REQUEST_ID]: requestId, 'x-content-type-options': 'nosniff' }
}

function toMessage(status: number, requestId: string): string {
  const body = JSON.stringify(toProblem(status, requestId))
  const headers = { ...headersOf(requestId), 'content-length': Buffer.byteLength(body), connection: 'close' }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`
}
