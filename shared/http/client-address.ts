import type { Context } from 'hono'
import { type Networks, toIpAddress } from '../runtime/ip-address.ts'
import type { AppEnv } from './app-env.ts'

/**
 * The address of the client that sent a request: the connection's peer, or, if the peer is a trusted proxy, the
 * right-most address in X-Forwarded-For that is not a trusted proxy. Each trusted proxy appends its own peer's address,
 * so anything that the client wrote into the header is further left and is never read.
 *
 * `Forwarded` (RFC 7239) is not read, because a proxy that supports only X-Forwarded-For passes on whatever `Forwarded`
 * header the client sent.
 */
export function clientAddressOf(c: Context<AppEnv>, trustedProxies?: Networks): string {
  let address = peerAddressOf(c)
  if (!trustedProxies) return address
  let hops = c.env?.incoming?.headers['x-forwarded-for']?.toString() ?? ''
  while (hops !== '' && trustedProxies.includes(address)) {
    const comma = hops.lastIndexOf(',')
    const hop = toHopAddress(hops.slice(comma + 1).trim())
    // The proxy at `address` did not append its peer's address, so nothing further left can be trusted.
    if (hop === undefined) break
    address = hop
    hops = hops.slice(0, Math.max(comma, 0))
  }
  return address
}

/** Returns true if a trusted proxy sent the request. */
export function isFromProxy(c: Context<AppEnv>, trustedProxies: Networks): boolean {
  return trustedProxies.includes(peerAddressOf(c))
}

/** Returns an empty string if there is no connection: in tests, or after the client has closed it. */
function peerAddressOf(c: Context<AppEnv>): string {
  return toIpAddress(c.env?.incoming?.socket?.remoteAddress ?? '') ?? ''
}

/** Parses an element of X-Forwarded-For: some proxies append a port to the address, and put IPv6 in brackets. */
function toHopAddress(text: string): string | undefined {
  const [, bracketed, ipv4] = /^(?:\[([^\]]*)\](?::\d+)?|([\d.]+):\d+)$/.exec(text) ?? []
  return toIpAddress(bracketed ?? ipv4 ?? text)
}
