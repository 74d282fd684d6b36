/** A POST as an HTTP client sends it: `app.request()` sets no content-length by itself. */
export function jsonRequest(body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const length = String(Buffer.byteLength(text))
  return {
    method: 'POST',
    body: text,
    headers: { 'content-type': 'application/json', 'content-length': length, ...headers },
  }
}
