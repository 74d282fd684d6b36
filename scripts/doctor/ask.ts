import { request } from 'undici'
import { toReason } from '../../shared/runtime/reason.ts'

/** How long who hangs is waited for. */
export const LIMIT_MS = 2_000

/** What came of a question over HTTP. `foreign` is an answer that is no HTTP. */
export type Asked =
  | { came: 'answer'; status: number; text: string }
  | { came: 'nothing'; reason: string }
  | { came: 'silence' }
  | { came: 'foreign' }

/** Asks a program that may be another one, hang, or not be there. Never throws. */
export async function ask(origin: string, path: string, limitMs = LIMIT_MS): Promise<Asked> {
  try {
    const { statusCode, body } = await request(`${origin}${path}`, { signal: AbortSignal.timeout(limitMs) })
    return { came: 'answer', status: statusCode, text: await body.text() }
  } catch (error) {
    const { name, code = '' } = error as NodeJS.ErrnoException
    if (name === 'TimeoutError' || code === 'UND_ERR_CONNECT_TIMEOUT') return { came: 'silence' }
    if (name === 'HTTPParserError' || code === 'UND_ERR_SOCKET') return { came: 'foreign' }
    return { came: 'nothing', reason: code || toReason(error) }
  }
}

/** The JSON of an answer; undefined where there is none. */
export function jsonOf(asked: Asked): unknown {
  try {
    return asked.came === 'answer' ? JSON.parse(asked.text) : undefined
  } catch {
    return undefined
  }
}

/** The value of a metric without labels; undefined where the answer has none. */
export function metricOf(asked: Asked, name: string): number | undefined {
  const value = asked.came === 'answer' && new RegExp(`^${name} (\\S+)$`, 'm').exec(asked.text)?.[1]
  const number = Number(value || Number.NaN)
  return Number.isNaN(number) ? undefined : number
}
