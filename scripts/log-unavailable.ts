/** Returns the message for a command that cannot read the log. */
export function logUnavailable(servers: readonly string[], reason = 'no connection'): string {
  return `the log is not available: ${servers.join(',')} (${reason}); see npm run doctor. In embedded mode, the log is a file that only its own process can read`
}
