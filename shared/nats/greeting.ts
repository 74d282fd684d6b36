import { connect } from 'node:net'
import { addAbortSignal } from 'node:stream'
import { ErrorCode, NatsError } from 'nats'
import { codeOf } from '../runtime/error-code.ts'
import { withoutBrackets } from '../runtime/origin.ts'

const DEFAULT_PORT = 4222
const MAX_INFO_BYTES = 64 * 1_024

/**
 * What a server sends before the client sends anything. It is not authenticated: anyone on the network may have sent
 * it.
 */
export type Greeting = { offersTls: boolean }

/**
 * Waits for a NATS server's INFO message, and sends nothing
 * (https://docs.nats.io/reference/reference-protocols/nats-protocol#info). Call this before connecting: the client
 * never closes the socket of an attempt that times out before INFO, so each attempt to reach a server that hangs would
 * leak a socket.
 * @param server an address without credentials, with or without a scheme and a port
 * @throws the error that the client would throw
 */
export async function awaitGreeting(server: string, signal: AbortSignal): Promise<Greeting> {
  const socket = connect(toAddress(server))
  let received = ''
  try {
    for await (const chunk of addAbortSignal(signal, socket)) {
      received += chunk
      if (received.includes('\n') || received.length > MAX_INFO_BYTES) break
    }
  } catch (error) {
    throw toNatsError(error)
  } finally {
    socket.destroy()
  }
  if (received === '') throw NatsError.errorForCode(ErrorCode.Disconnect)
  return { offersTls: /"tls_(required|available)":\s*true/.test(received) }
}

export function toAddress(server: string): { host: string; port: number } {
  const { hostname, port } = new URL(server.includes('://') ? server : `nats://${server}`)
  return { host: withoutBrackets(hostname), port: port === '' ? DEFAULT_PORT : Number(port) }
}

function toNatsError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  if (error.name === 'AbortError') return NatsError.errorForCode(ErrorCode.Timeout)
  return codeOf(error) === 'ECONNREFUSED' ? NatsError.errorForCode(ErrorCode.ConnectionRefused, error) : error
}
