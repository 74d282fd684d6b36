import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { type ConnectionOptions, NatsError } from 'nats'
import { codeOf } from '../runtime/error-code.ts'
import type { NatsAccess } from './credentials.ts'
import { type Greeting, toAddress } from './greeting.ts'

/** The server does not offer TLS, or its certificate is not valid for this address. No credentials were sent. */
export class NatsTlsError extends Error {
  override name = 'NatsTlsError'
}

/** Matches certificate error codes from OpenSSL and from Node. */
const CERTIFICATE = /CERT|SIGNATURE|^ERR_(TLS|SSL)_|^EPROTO$/

/** If one server has the scheme tls://, all servers must use TLS, including those that the cluster announces. */
function requiresTls({ servers, ca }: NatsAccess): boolean {
  return ca !== undefined || servers.some((server) => /^tls:/i.test(server))
}

/**
 * The client's TLS options for one server. Without them, the client uses TLS only if the server offers it.
 * @throws NatsTlsError if the server must offer TLS, but does not
 */
export function toTlsOptions(
  server: string,
  access: NatsAccess,
  { offersTls }: Greeting,
): Pick<ConnectionOptions, 'tls'> {
  if (!offersTls && !requiresTls(access)) return {}
  if (!offersTls) throw new NatsTlsError(`${server} does not offer TLS, which NATS_URL or NATS_CA requires`)
  const { host } = toAddress(server)
  // By default, the client verifies the certificate of an IP address against the name `localhost`.
  const identity = { host, servername: isIP(host) ? '' : host }
  return { tls: { ...identity, ...(access.ca !== undefined && { ca: readFileSync(access.ca, 'utf8') }) } }
}

/** Converts an error about a refused certificate to one that names the server. Returns any other error unchanged. */
export function toConnectError(server: string, error: unknown): unknown {
  const cause = error instanceof NatsError && error.chainedError ? error.chainedError : error
  if (!(cause instanceof Error) || !CERTIFICATE.test(codeOf(cause) ?? '')) return error
  return new NatsTlsError(`the certificate of ${server} is refused`, { cause })
}
