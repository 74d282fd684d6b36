import type { Context } from 'hono'
import { type Networks, toIpAddress } from '../runtime/ip-address.ts'
import type { AppEnv } from './app-env.ts'

/**
 * The address of the client that sent a request: that of the connection, or, if that is a trusted proxy, the right-most
 * address in X-Forwarded-For that is not one. Each trusted proxy appends the address of its own peer, so whatever the
 * client wrote into the header stands further left and is never read.
 *
 * `Forwarded` (RFC 7239) is not read: a proxy that knows only X-Forwarded-For passes it on as the client wrote it.
 */
export function clientAddressOf(c: Context<AppEnv>, trustedProxies?: Networks): string {
  let address = peerAddressOf(c)
  if (!trustedProxies) return address
  let hops = c.env?.incoming?.headers['x-forwarded-for']?.toString() ?? ''
  while (hops !== '' && trustedProxies.includes(address)) {
    const comma = hops.lastIndexOf(',')
    const hop = toHopAddress(hops.slice(comma + 1).trim())
    // The proxy at `address` does not know its peer, or does not append: it is as far as anyone can be believed.
    if (hop === undefined) break
    address = hop
    hops = hops.slice(0, Math.max(comma, 0))
  }
  return address
}

/** Returns true if a trusted proxy sent the request, on behalf of any client. */
export function isFromProxy(c: Context<AppEnv>, trustedProxies: Networks): boolean {
  return trustedProxies.includes(peerAddressOf(c))
}

/** Empty without a connection: in tests, and after the client has closed it. */
function peerAddressOf(c: Context<AppEnv>): string {
  return toIpAddress(c.env?.incoming?.socket?.remoteAddress ?? '') ?? ''
}

/** An element of X-Forwarded-For: an address, which some proxies write with a port, and IPv6 then in brackets. */
function toHopAddress(text: string): string | undefined {
  const [, bracketed, ipv4] = /^(?:\[([^\]]*)\](?::\d+)?|([\d.]+):\d+)$/.exec(text) ?? []
  return toIpAddress(bracketed ?? ipv4 ?? text)
}
