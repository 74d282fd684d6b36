import { Agent, type Dispatcher, request } from 'undici'
import { codeOf } from '../shared/runtime/error-code.ts'
import { toReason } from '../shared/runtime/reason.ts'
import type { Secret } from '../shared/runtime/secret.ts'
import { bearer } from './bearer.ts'

const TIMEOUT_MS = 2_000

type Options = {
  method?: 'GET' | 'HEAD' | 'POST' | 'DELETE'
  token?: Secret | undefined
  headers?: Record<string, string>
  /** A JSON document. */
  body?: string | Uint8Array | undefined
  timeoutMs?: number
  dispatcher?: Dispatcher
}

/** A response. `json` is the parsed body; undefined if the body is not JSON. */
export type Reply = { status: number; text: string; json: unknown }

/**
 * Sends a request, by default a GET.
 * @throws an undici error, or a TimeoutError
 */
export async function send(
  url: string,
  { token, headers, body, timeoutMs = TIMEOUT_MS, ...options }: Options = {},
): Promise<Reply> {
  const type = body === undefined ? {} : { 'content-type': 'application/json' }
  const response = await request(url, {
    ...options,
    headers: { ...bearer(token), ...type, ...headers },
    body: body ?? null,
    signal: AbortSignal.timeout(timeoutMs),
  })
  const text = await response.body.text()
  return { status: response.statusCode, text, json: parseJson(text) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `text` is the response body, or the reason for the failure. `status` is undefined if the response is not HTTP. */
export type Probe = { outcome: 'response' | 'timeout' | 'unreachable'; status?: number; text: string; json?: unknown }

/** Sends a request to an instance that may hang, be down, or be a different program. Never throws. */
export async function probe(url: string, options: Options = {}): Promise<Probe> {
  try {
    return { outcome: 'response', ...(await send(url, options)) }
  } catch (error) {
    const name = error instanceof Error ? error.name : ''
    const { timeoutMs = TIMEOUT_MS } = options
    if (name === 'TimeoutError') return { outcome: 'timeout', text: `no response within ${timeoutMs / 1_000} s` }
    // The response is not HTTP.
    if (name === 'HTTPParserError' || name === 'SocketError') return { outcome: 'response', text: '' }
    return { outcome: 'unreachable', text: codeOf(error) ?? toReason(error) }
  }
}

/**
 * Returns the status of a HEAD request to a CDN. Ignores UPSTREAM_CA, which is for the services: a CDN usually has a
 * public certificate.
 * @throws the errors that `send` throws
 */
export async function readCdnStatus(url: string): Promise<number> {
  const dispatcher = new Agent()
  try {
    return (await send(url, { method: 'HEAD', dispatcher })).status
  } finally {
    await dispatcher.destroy()
  }
}
