/** An HTTP server's origin, such as `http://127.0.0.1:8081` or `http://[::1]:8081`. */
export function toOrigin(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The host in a URL or a Host header, without the brackets around an IPv6 address. */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}
