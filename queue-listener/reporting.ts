import { type EventBatch, PositionConflict } from '../shared/contracts/event-batch.ts'
import { Position } from '../shared/contracts/position.ts'
import type { LogBatch } from '../shared/event-log/event-log.ts'
import { expectBody, type ServiceClient } from '../shared/http/service-client.ts'
import { beginUnrecorded, type Tracing } from '../shared/tracing/tracing.ts'

/** A full batch is counted in far less. */
const TIMEOUT_MS = 5_000

const PROCESSING = { kind: 'consumer', attributes: { 'messaging.operation.type': 'process' } } as const

/** What the listener asks of reporting. Everything rejects with UpstreamError where reporting is away. */
export type Reporting = {
  /** Up to where it has counted the log; undefined where it has counted nothing. */
  position(signal: AbortSignal): Promise<Position | undefined>
  /** Has a batch counted. Where it does not start at the position, nothing is counted, and the position comes back. */
  count(batch: LogBatch, signal: AbortSignal): Promise<{ position: Position | undefined } | undefined>
}

export function createReporting(client: ServiceClient, tracing: Tracing): Reporting {
  const limited = (signal: AbortSignal) => AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
  return {
    async position(signal) {
      const answer = await client.get('/events/position', { signal: limited(signal) })
      return expectBody(answer, 200, Position.nullable()) ?? undefined
    },
    async count({ stream, after, through, views, traces }, signal) {
      const batch: EventBatch = { stream, after, through, views }
      const spans = traces.map((trace) => tracing.start('process video.viewed', trace, PROCESSING))
      const [span = beginUnrecorded(), ...links] = spans
      const posting = client.post('/events', batch, { signal: limited(signal), span, links })
      const answer = await posting.finally(() => {
        for (const span of spans) span.end()
      })
      if (answer.status === 409) return { position: expectBody(answer, 409, PositionConflict).position ?? undefined }
      expectBody(answer, 200, Position)
      return undefined
    },
  }
}
