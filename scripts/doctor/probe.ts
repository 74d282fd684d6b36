import { request } from 'undici'
import { codeOf } from '../../shared/runtime/error-code.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import { bearer } from '../bearer.ts'

/** `text` is the response body, or the reason for the failure. `json` is the parsed body if the body is JSON. */
export type Probe = { outcome: 'response' | 'timeout' | 'unreachable'; text: string; json?: unknown }

type Options = { timeoutMs?: number; token?: Secret | undefined }

/** Sends a GET request to an instance that may hang, be down, or be a different program. Never throws. */
export async function probe(origin: string, path: string, { timeoutMs = 2_000, token }: Options = {}): Promise<Probe> {
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const { body } = await request(`${origin}${path}`, { signal, headers: bearer(token) })
    const text = await body.text()
    const json = await Promise.try(() => JSON.parse(text)).catch(() => undefined)
    return { outcome: 'response', text, json }
  } catch (error) {
    const name = error instanceof Error ? error.name : ''
    if (name === 'TimeoutError') return { outcome: 'timeout', text: `no response within ${timeoutMs / 1_000} s` }
    // The response is not HTTP.
    if (name === 'HTTPParserError' || name === 'SocketError') return { outcome: 'response', text: '' }
    return { outcome: 'unreachable', text: codeOf(error) ?? toReason(error) }
  }
}

/** The value of a metric without labels; NaN if it is unknown. */
export function toMetric({ text }: Probe, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
}

export type Samples<Sample> = { first: Sample; second?: Sample }

/** Samples a backlog, and if it is not empty, samples it again a second later to see whether it shrinks. */
export async function sampleTwice<T extends { backlog: number }>(take: () => Promise<T>): Promise<Samples<T>> {
  const first = await take()
  if (!(first.backlog > 0)) return { first }
  await sleep(1_000)
  return { first, second: await take() }
}
