import { once } from 'node:events'
import { connect } from 'node:net'

/** Publishes bytes as they are, without a client library's checks. */
export type RawPublisher = AsyncDisposable & {
  /** @param headers everything between `NATS/1.0\r\n` and the empty line, if there are headers */
  publish(subject: string, body: Uint8Array, headers?: Uint8Array): void
  /** Resolves once the server has processed everything, or rejects with its error. */
  flush(): Promise<void>
}

/** Speaks the NATS client protocol (https://docs.nats.io/reference/reference-protocols/nats-protocol). */
export async function connectRaw(url: string): Promise<RawPublisher> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  let received = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text
    if (received.includes('PING\r\n')) socket.write('PONG\r\n')
  })
  socket.write('CONNECT {"verbose":false,"headers":true}\r\n')
  return {
    publish(subject, body, headers) {
      if (!headers) socket.write(`PUB ${subject} ${body.length}\r\n`)
      else {
        const head = Buffer.concat([Buffer.from('NATS/1.0\r\n'), headers, Buffer.from('\r\n\r\n')])
        socket.write(`HPUB ${subject} ${head.length} ${head.length + body.length}\r\n`)
        socket.write(head)
      }
      socket.write(body)
      socket.write('\r\n')
    },
    async flush() {
      received = ''
      socket.write('PING\r\n')
      while (!received.includes('PONG')) await once(socket, 'data')
      const [error] = /-ERR .*/.exec(received) ?? []
      if (error) throw new Error(error)
    },
    async [Symbol.asyncDispose]() {
      socket.destroy()
    },
  }
}
