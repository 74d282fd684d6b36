import { withoutBrackets } from './origin.ts'

/** Returns true if a host name or IP address is reachable only from this machine. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** Returns true if a URL's host is reachable only from this machine. */
export function isLoopbackUrl(url: string | URL): boolean {
  return isLoopback(withoutBrackets(new URL(url).hostname))
}
