import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { eventually } from './eventually.ts'

export type RawHttpResponse = { status: number; headers: Record<string, string>; body: string }

/** A connection to an HTTP server that can send bytes that no client library would send. */
export type RawHttp = Disposable & {
  socket: Socket
  isClosed(): boolean
  received(): string
  /** Resolves with the first response once it is complete. */
  response(limitMs?: number): Promise<RawHttpResponse>
}

export async function connectHttp(url: string, text = ''): Promise<RawHttp> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let received = ''
  let isClosed = false
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    received += chunk
  })
  socket
    .on('error', () => {})
    .on('close', () => {
      isClosed = true
    })
  await once(socket, 'connect')
  socket.write(text)
  return {
    socket,
    isClosed: () => isClosed,
    received: () => received,
    response: (limitMs) => eventually(() => parseResponse(received), limitMs),
    [Symbol.dispose]: () => socket.destroy(),
  }
}

/** @throws Error while the response is incomplete */
function parseResponse(text: string): RawHttpResponse {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) throw new Error(`no response: ${text}`)
  const [first = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => {
      const [name = '', value = ''] = line.split(': ')
      return [name.toLowerCase(), value]
    }),
  )
  const body = text.slice(end + 4)
  const length = Number(headers['content-length'] ?? 0)
  if (body.length < length) throw new Error(`incomplete response: ${text}`)
  return { status: Number(first.split(' ')[1]), headers, body: body.slice(0, length) }
}
