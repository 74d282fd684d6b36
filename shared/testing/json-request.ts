/** A POST with a content-length, as HTTP clients send it; `app.request()` does not set one. */
export function jsonRequest(body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const length = String(Buffer.byteLength(text))
  return {
    method: 'POST',
    body: text,
    headers: { 'content-type': 'application/json', 'content-length': length, ...headers },
  }
}
