import { once } from 'node:events'
import { connect } from 'node:net'
import { ErrorCode, NatsError } from 'nats'
import { codeOf } from '../runtime/error-code.ts'

const DEFAULT_PORT = 4222

/**
 * Resolves once a NATS server sends the first bytes of its INFO message. Call it before connecting: the client never
 * closes the socket of an attempt that times out before INFO, so a server that hangs would leak a socket per attempt.
 * @param server an address without credentials, with or without a scheme and a port
 * @throws the same error as the client
 */
export async function awaitGreeting(server: string, signal: AbortSignal): Promise<void> {
  const { hostname, port } = new URL(server.includes('://') ? server : `nats://${server}`)
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const socket = connect({ host, port: port === '' ? DEFAULT_PORT : Number(port) })
  try {
    await once(socket, 'data', { signal })
  } catch (error) {
    throw toNatsError(error)
  } finally {
    socket.destroy()
  }
}

function toNatsError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  if (error.name === 'AbortError') return NatsError.errorForCode(ErrorCode.Timeout)
  return codeOf(error) === 'ECONNREFUSED' ? NatsError.errorForCode(ErrorCode.ConnectionRefused, error) : error
}
