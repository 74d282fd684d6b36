import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { type ConnectionOptions, NatsError } from 'nats'
import { codeOf } from '../runtime/error-code.ts'
import type { NatsAccess } from './credentials.ts'
import { type Greeting, toAddress } from './greeting.ts'

/** The server does not offer TLS, or its certificate is not valid for this address. Nothing was sent to it. */
export class NatsTlsError extends Error {
  override name = 'NatsTlsError'
}

/** The codes of OpenSSL's verification errors and of Node's. */
const CERTIFICATE = /CERT|SIGNATURE|^ERR_(TLS|SSL)_|^EPROTO$/

/** One server with tls:// requires TLS of all, also of those that the cluster announces. */
export function requiresTls({ servers, ca }: NatsAccess): boolean {
  return ca !== undefined || servers.some((server) => /^tls:/i.test(server))
}

/**
 * The TLS options of the client for one server. Without them, the client uses TLS only if the server offers it.
 * @throws NatsTlsError if the server must offer TLS, and does not
 */
export function toTlsOptions(
  server: string,
  access: NatsAccess,
  { offersTls }: Greeting,
): Pick<ConnectionOptions, 'tls'> {
  if (!offersTls && !requiresTls(access)) return {}
  if (!offersTls) throw new NatsTlsError(`${server} does not offer TLS, which NATS_URL or NATS_CA requires`)
  const { host } = toAddress(server)
  // By default, the client verifies that the certificate of an IP address is that of `localhost`.
  const identity = { host, servername: isIP(host) ? '' : host }
  return { tls: { ...identity, ...(access.ca !== undefined && { ca: readFileSync(access.ca, 'utf8') }) } }
}

/** An error that names the server if its certificate was refused; any other error as it is. */
export function toConnectError(server: string, error: unknown): unknown {
  const cause = error instanceof NatsError && error.chainedError ? error.chainedError : error
  if (!(cause instanceof Error) || !CERTIFICATE.test(codeOf(cause) ?? '')) return error
  return new NatsTlsError(`the certificate of ${server} is refused`, { cause })
}
