/**
 * Fetches JSON.
 * @param {string} url
 * @param {Omit<RequestInit, 'signal'> & { timeoutMs: number }} init
 * @returns {Promise<any>} undefined if the request fails or times out, or if the status is not 2xx
 */
export async function fetchJson(url, { timeoutMs, ...init }) {
  try {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs) })
    return response.ok ? await response.json() : undefined
  } catch {
    return undefined
  }
}
