import { expectBody, type ServiceClient, type ServiceResponse } from '../shared/client/service-client.ts'
import { type EventBatch, PositionConflict } from '../shared/contracts/event-batch.ts'
import { fromNullablePosition, type LogPosition, Position, toPosition } from '../shared/contracts/position.ts'
import { Problem } from '../shared/contracts/status.ts'
import { BATCH_SIZE } from '../shared/contracts/trace.ts'
import type { LogBatch } from '../shared/event-log/event-log.ts'
import { parseSafely } from '../shared/runtime/parse-safely.ts'
import { type Span, startNonRecordingSpan, type Tracing } from '../shared/tracing/tracing.ts'

/** The timeout for a call, much longer than reporting takes for a full batch. */
const TIMEOUT_MS = 5_000

/**
 * A call is retried on another instance if it gets no response within `attemptTimeoutMs`. This timeout is longer than a
 * lookup's, because a full batch takes longer. The store counts a batch once, no matter how many instances receive it.
 */
const RETRY = { idempotent: true, attemptTimeoutMs: 1_000 }

const PROCESS = { kind: 'consumer', attributes: { 'messaging.operation.type': 'process' } } as const

/** The methods reject with UpstreamError if the call fails. */
export type ReportingClient = {
  /** The position up to which reporting has counted; undefined if it has counted nothing. */
  position(signal: AbortSignal): Promise<LogPosition | undefined>
  /** Encodes a batch in advance, so that `count` only has to send it. At most one batch is prepared at a time. */
  prepare(batch: LogBatch): void
  count(batch: LogBatch, signal: AbortSignal): Promise<CountOutcome>
  /** Reports the end of the log without counting anything. Returns the position, as `position` does. */
  report(report: LogReport, signal: AbortSignal): Promise<LogPosition | undefined>
}

/** The end of the log, reporting's last known position in it, and when the oldest uncounted message was stored. */
export type LogReport = { end: LogPosition; counted: number; oldest: Date | undefined }

/**
 * `conflict`: the batch does not start at `position`, reporting's position. `invalid`: reporting refuses the batch's
 * content, and would refuse it again.
 */
type CountOutcome =
  | { outcome: 'counted' }
  | { outcome: 'conflict'; position: LogPosition | undefined }
  | { outcome: 'invalid'; reason: string }

/** The statuses for an invalid batch. After any other failure, the batch is retried. */
const INVALID = [400, 413, 422]

export function createReportingClient(
  client: Pick<ServiceClient, 'get' | 'post'>,
  tracing: Pick<Tracing, 'start'>,
): ReportingClient {
  const withTimeout = (signal: AbortSignal) => AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
  let prepared: { batch: LogBatch; json: Uint8Array } | undefined

  async function position(signal: AbortSignal) {
    const response = await client.get('/events/position', { signal: withTimeout(signal) })
    return fromNullablePosition(expectBody(response, 200, Position.nullable()))
  }

  return {
    position,
    async report({ end, counted, oldest }, signal) {
      const { incarnation: stream, sequence } = end
      const report: EventBatch = { stream, after: counted, through: counted, views: [], end: sequence }
      const body = { ...report, ...(oldest && { oldest: oldest.toISOString() }) }
      const response = await client.post('/events', body, { ...RETRY, signal: withTimeout(signal) })
      // A reporting instance from the previous release rejects a report as an invalid batch.
      if (response.status === 400) return position(signal)
      return fromNullablePosition(expectBody(response, 200, Position.nullable()))
    },
    prepare(batch) {
      prepared = { batch, json: Buffer.from(JSON.stringify(toEventBatch(batch))) }
    },
    async count(batch, signal) {
      const { incarnation, through } = batch
      const json = prepared?.batch === batch ? prepared.json : undefined
      if (json) prepared = undefined
      const spans = batch.traces.map((trace) => tracing.start('process video.viewed', trace, PROCESS))
      const [span = startNonRecordingSpan(), ...links] = spans
      const post = (body: EventBatch | Uint8Array) =>
        client.post('/events', body, { ...RETRY, signal: withTimeout(signal), span, links })
      const end = (outcome: { error: unknown } | ServiceResponse) => {
        for (const span of spans) span.end(toOutcome(batch, outcome))
      }
      const response = await postToAnyRelease(post, toEventBatch(batch), json).catch((error) => {
        end({ error })
        throw error
      })
      end(response)
      if (response.status === 409) {
        const position = fromNullablePosition(expectBody(response, 409, PositionConflict).position)
        const isCounted = position?.incarnation === incarnation && position.sequence === through
        // An earlier attempt on another instance seemed to fail, but counted the batch.
        if (response.isRetry && isCounted) return { outcome: 'counted' }
        return { outcome: 'conflict', position }
      }
      if (INVALID.includes(response.status)) return { outcome: 'invalid', reason: toReason(response) }
      expectBody(response, 200, Position)
      return { outcome: 'counted' }
    },
  }
}

function toEventBatch({ incarnation, leaving, watched, traces, deadLetters, pending, ...rest }: LogBatch): EventBatch {
  const batch: EventBatch = { ...rest, stream: incarnation, end: rest.through + pending }
  if (leaving) batch.leaving = toPosition(leaving)
  if (watched.length > 0) batch.watched = watched
  return batch
}

/** Describes the batch that contains a view, for the view's span. The batch is counted if the status is 200. */
function toOutcome(
  { views, after, through }: Pick<LogBatch, 'views' | 'after' | 'through'>,
  outcome: { error: unknown } | ServiceResponse,
): Parameters<Span['end']>[0] {
  const batch = { [BATCH_SIZE]: views.length, 'log.first': after + 1, 'log.last': through }
  if ('error' in outcome) return { attributes: batch, error: outcome.error }
  return { attributes: { ...batch, 'http.response.status_code': outcome.status } }
}

/** Formats a Problem's status and first field error. */
function toReason({ status, body }: ServiceResponse): string {
  const problem = parseSafely(Problem, body).data
  const [error] = problem?.errors ?? []
  return `reporting responded ${status} ${problem?.status ?? ''}: ${error ? `${error.path} ${error.message}` : ''}`
}

/**
 * Posts a batch. A reporting instance from a release without watch time refuses unknown fields, so it gets only the
 * views. The reports' serials are then sent as rejected, like those of dead letters.
 * @param json the batch as JSON, if it was prepared
 */
async function postToAnyRelease(
  post: (batch: EventBatch | Uint8Array) => Promise<ServiceResponse>,
  batch: EventBatch,
  json: Uint8Array | undefined,
) {
  const response = await post(json ?? batch)
  if (response.status !== 400) return response
  const isNew = batch.watched !== undefined || batch.views.some(({ duration }) => duration !== undefined)
  return isNew ? post(withoutWatchTime(batch)) : response
}

function withoutWatchTime({ watched = [], ...batch }: EventBatch): EventBatch {
  const ranges = watched.flatMap(({ producer, serial, sequence }) =>
    producer !== undefined && serial !== undefined ? { producer, from: serial, to: serial, sequence } : [],
  )
  return {
    ...batch,
    views: batch.views.map(({ duration: _, ...view }) => view),
    messages: batch.messages?.filter(({ views }) => views > 0),
    rejected: [...(batch.rejected ?? []), ...ranges].toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0)),
  }
}
