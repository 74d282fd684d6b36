import type { z } from 'zod'
import { Audit } from '../../shared/contracts/audit.ts'
import { fromNullablePosition, type LogPosition, Position } from '../../shared/contracts/position.ts'
import { Series } from '../../shared/contracts/series.ts'
import { Problem } from '../../shared/contracts/status.ts'
import { LookedUpCounts } from '../../shared/contracts/view-counts.ts'
import { ViewExplanation } from '../../shared/contracts/view-explanation.ts'
import { toReason } from '../../shared/runtime/reason.ts'
import type { Secret } from '../../shared/runtime/secret.ts'
import { sleep } from '../../shared/runtime/sleep.ts'
import { type Reply, send } from '../http.ts'

const TIMEOUT_MS = 5_000
const RETRY_MS = 250

/** A call to reporting failed. The message is safe to print. */
export class ReportingError extends Error {
  override name = 'ReportingError'
}

export type ReportingReader = ReturnType<typeof createReportingReader>

/**
 * Reads the numbers that reporting serves. Every method throws ReportingError.
 * @param token READ_TOKEN, if reporting has one
 */
export function createReportingReader(origin: string, token: Secret | undefined) {
  const request = (path: string, body?: object) => sendUntilAvailable(`${origin}${path}`, token, body)

  async function call<Schema extends z.ZodType>(path: string, schema: Schema, body?: object) {
    const { status, json } = await request(path, body)
    const parsed = schema.safeParse(json)
    if (status === 200 && parsed.success) return parsed.data
    const reason = Problem.safeParse(json).data?.status ?? 'an unexpected response'
    throw new ReportingError(`${origin}${path} returned ${status}: ${reason}`)
  }

  return {
    audit: () => call('/events/audit', Audit),
    async position(): Promise<LogPosition | undefined> {
      return fromNullablePosition(await call('/events/position', Position.nullable()))
    },
    lookUp: (ids: { assets?: string[]; users?: string[] }) =>
      call('/events/lookup', LookedUpCounts, { ...ids, details: true }),
    /** Reads the daily views of an asset, or of all assets, for days that start in [from, to), both RFC 3339 times. */
    days(from: string, to: string, asset?: string) {
      const assetId = asset === undefined ? '' : `&assetId=${encodeURIComponent(asset)}`
      return call(`/events/series?step=day&from=${from}&to=${to}${assetId}`, Series)
    },
    /** @returns undefined if reporting does not have the verdict */
    async explain(id: string): Promise<ViewExplanation | undefined> {
      const { status, json } = await request(`/events/views/${encodeURIComponent(id)}`)
      if (status === 404) return undefined
      const explanation = ViewExplanation.safeParse(json)
      if (explanation.success) return explanation.data
      throw new ReportingError(`${origin}/events/views/… returned ${status}`)
    },
  }
}

/** Retries while reporting returns 503, for example because its database is down or all connections are in use. */
async function sendUntilAvailable(url: string, token: Secret | undefined, body?: object): Promise<Reply> {
  const deadline = performance.now() + TIMEOUT_MS
  for (;;) {
    const reply = await sendOnce(url, token, body)
    if (reply.status !== 503 || performance.now() > deadline) return reply
    await sleep(RETRY_MS)
  }
}

async function sendOnce(url: string, token: Secret | undefined, body?: object): Promise<Reply> {
  try {
    const posted = body && { method: 'POST' as const, body: JSON.stringify(body) }
    return await send(url, { token, timeoutMs: TIMEOUT_MS, ...posted })
  } catch (error) {
    throw new ReportingError(`no response from ${url}: ${toReason(error)}`)
  }
}
