import { expectBody, type ServiceClient } from '../shared/client/service-client.ts'
import { type EventBatch, PositionConflict } from '../shared/contracts/event-batch.ts'
import { type LogPosition, Position, toLogPosition } from '../shared/contracts/position.ts'
import type { LogBatch } from '../shared/event-log/event-log.ts'
import { startNonRecordingSpan, type Tracing } from '../shared/tracing/tracing.ts'

/** Much longer than reporting takes for a full batch. */
const TIMEOUT_MS = 5_000

const PROCESS = { kind: 'consumer', attributes: { 'messaging.operation.type': 'process' } } as const

/** The methods reject with UpstreamError if the call fails. */
export type ReportingClient = {
  /** The position up to which reporting has counted; undefined if it has counted nothing. */
  position(signal: AbortSignal): Promise<LogPosition | undefined>
  /** Sends a batch. If it does not start at the current position, it is not counted, and the conflict is returned. */
  count(batch: LogBatch, signal: AbortSignal): Promise<Conflict | undefined>
}

/** `position` is the current position of reporting. */
export type Conflict = { position: LogPosition | undefined }

export function createReportingClient(
  client: Pick<ServiceClient, 'get' | 'post'>,
  tracing: Pick<Tracing, 'start'>,
): ReportingClient {
  const withTimeout = (signal: AbortSignal) => AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
  return {
    async position(signal) {
      const response = await client.get('/events/position', { signal: withTimeout(signal) })
      return fromNullable(expectBody(response, 200, Position.nullable()))
    },
    async count({ incarnation, after, through, views, traces }, signal) {
      const batch: EventBatch = { stream: incarnation, after, through, views }
      const spans = traces.map((trace) => tracing.start('process video.viewed', trace, PROCESS))
      const [span = startNonRecordingSpan(), ...links] = spans
      const posting = client.post('/events', batch, { signal: withTimeout(signal), span, links })
      const response = await posting.finally(() => {
        for (const span of spans) span.end()
      })
      if (response.status === 409) {
        return { position: fromNullable(expectBody(response, 409, PositionConflict).position) }
      }
      expectBody(response, 200, Position)
      return undefined
    },
  }
}

function fromNullable(position: Position | null): LogPosition | undefined {
  return position ? toLogPosition(position) : undefined
}
