import type { LogPosition } from '../shared/contracts/position.ts'
import { emptyBatch, splitBatch } from '../shared/event-log/batch-builder.ts'
import type { EventLog, LogBatch } from '../shared/event-log/event-log.ts'
import { toSerialRange } from '../shared/event-log/skipped-views.ts'
import type { ReportingClient } from './reporting-client.ts'

type Deps = {
  eventLog: Pick<EventLog, 'reject'>
  reporting: Pick<ReportingClient, 'count'>
  /** Called with each batch that reporting has counted. */
  onForwarded: (batch: LogBatch) => void
  /** Called with the end of each batch whose response was lost. */
  onUnsettled: (end: LogPosition) => void
}

/** A batch that does not start at reporting's position. */
type Conflict = { batch: LogBatch; position: LogPosition | undefined }

/**
 * Sends a batch. If reporting refuses a batch's content, bisects the batch to find the invalid messages. They become
 * dead letters, so that they do not block the messages behind them.
 * @returns the first batch that reporting rejected because of its position; undefined if it rejected none
 */
export async function deliver(deps: Deps, batch: LogBatch, signal: AbortSignal): Promise<Conflict | undefined> {
  const { reporting, onForwarded, onUnsettled } = deps
  const response = await reporting.count(batch, signal).catch((error) => {
    onUnsettled({ incarnation: batch.incarnation, sequence: batch.through })
    throw error
  })
  if (response.outcome === 'conflict') return { batch, position: response.position }
  if (response.outcome === 'counted') {
    onForwarded(batch)
    return undefined
  }
  const halves = splitBatch(batch) ?? [await withoutViews(deps, batch, response.reason, signal)]
  for (const half of halves) {
    const conflict = await deliver(deps, half, signal)
    if (conflict) return conflict
  }
  return undefined
}

/**
 * Makes the only message in a refused batch a dead letter. First checks, with a valid batch, that the message is at
 * fault: if reporting refused valid batches too, every message would become a dead letter.
 */
async function withoutViews(
  { eventLog, reporting }: Deps,
  batch: LogBatch,
  reason: string,
  signal: AbortSignal,
): Promise<LogBatch> {
  const [message] = batch.messages
  const probe = await reporting.count(toProbe(batch), signal)
  if (!message || probe.outcome !== 'conflict') throw new Error(`reporting refuses a valid batch: ${reason}`)
  await eventLog.reject(message.sequence, reason)
  const rejected = [...batch.rejected, ...serialsOf(message.sequence, [...batch.views, ...batch.watched])]
  const skipped = [...batch.skipped, { sequence: message.sequence, ids: batch.views.map(({ id }) => id) }]
  return {
    ...batch,
    views: [],
    watched: [],
    traces: [],
    messages: [],
    deadLetters: batch.deadLetters + 1,
    rejected,
    skipped,
  }
}

type Numbered = { producer?: string | undefined; serial?: number | undefined }

/** The serials of the views and reports in one message. */
function serialsOf(sequence: number, events: readonly Numbered[]): LogBatch['rejected'] {
  const serials = events.flatMap(({ serial }) => serial ?? []).toSorted((a, b) => a - b)
  const range = toSerialRange(events[0]?.producer ?? '', serials)
  return range ? [{ ...range, sequence }] : []
}

/** Creates a valid batch that is never counted, because it does not start at reporting's position. */
function toProbe({ incarnation, through }: LogBatch): LogBatch {
  const view = { id: 'probe', assetId: 'probe', userId: 'probe', at: new Date(0).toISOString() }
  const after = through + 1
  const messages = [{ sequence: after + 1, views: 1, at: view.at }]
  return { ...emptyBatch({ incarnation, after, first: 0 }), through: after + 1, views: [view], messages }
}
