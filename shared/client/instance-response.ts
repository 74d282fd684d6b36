import { startNonRecordingSpan } from '../tracing/tracing.ts'
import type { Instance } from './balancer.ts'
import { requestJson } from './request-json.ts'

/** One instance's response; undefined if it did not respond. */
export type InstanceResponse = { url: string; response: { status: number; body: unknown } | undefined }

type InstanceRequest = { path: string; headers: Record<string, string>; signal: AbortSignal }

/** Sends a GET to one instance, without retries or a recorded span. Never throws, and never ejects an instance. */
export async function readInstance(
  { origin: url, pool }: Instance,
  { path, headers, signal }: InstanceRequest,
): Promise<InstanceResponse> {
  const { traceparent } = startNonRecordingSpan()
  try {
    const options = { method: 'GET', path, headers: { ...headers, traceparent }, signal } as const
    return { url, response: await requestJson(pool, options) }
  } catch {
    return { url, response: undefined }
  }
}
