import { expect, test } from 'vitest'
import { EventBatch } from '../shared/contracts/event-batch.ts'
import { emptyBatch } from '../shared/event-log/batch-builder.ts'
import type { LogBatch } from '../shared/event-log/event-log.ts'
import { startNonRecordingSpan } from '../shared/tracing/tracing.ts'
import { deliver } from './deliver.ts'
import { createReportingClient } from './reporting-client.ts'

const never = new AbortController().signal

test('the serials of the views and reports in a refused message are sent as rejected', async () => {
  const play = { assetId: 'a', userId: 'u', producer: 'p' }
  const view = { ...play, at: '2026-11-20T21:00:00.000Z' }
  const batch: LogBatch = {
    ...emptyBatch({ incarnation: 'log', after: 0, first: 1 }),
    through: 1,
    views: [
      { ...view, id: '1', serial: 1 },
      { ...view, id: '3', serial: 3 },
    ],
    watched: [{ ...play, viewId: '1', seconds: 31, sequence: 1, index: 1, serial: 2 }],
    messages: [{ sequence: 1, views: 2, at: view.at }],
  }
  const { reporting, counted } = createPickyReporting((sent) => sent.views.some(({ id }) => id === '1'))
  const forwarded: LogBatch[] = []
  const onForwarded = (sent: LogBatch) => forwarded.push(sent)
  await deliver({ eventLog: { reject: async () => {} }, reporting, onForwarded, onUnsettled() {} }, batch, never)
  expect(counted).toMatchObject([{ views: [], rejected: [{ producer: 'p', from: 1, to: 3, sequence: 1 }] }])
  expect(forwarded).toMatchObject([{ views: [], watched: [], deadLetters: 1 }])
})

/** A client for a fake reporting service at position 0. It rejects invalid batches and those that `refuses` selects. */
function createPickyReporting(refuses: (batch: EventBatch) => boolean) {
  const counted: EventBatch[] = []
  const conflict = { status: 'Position mismatch', position: null, requestId: '1' }

  function respond(batch: EventBatch) {
    if (batch.after > 0) return { status: 409, body: conflict }
    if (refuses(batch)) return { status: 400, body: {} }
    counted.push(batch)
    return { status: 200, body: { stream: batch.stream, sequence: batch.through } }
  }

  const client = {
    get: async () => ({ status: 200, body: null }),
    async post(_path: string, body: unknown) {
      const batch = EventBatch.safeParse(body)
      return batch.success ? respond(batch.data) : { status: 400, body: {} }
    },
  }
  return { reporting: createReportingClient(client, { start: startNonRecordingSpan }), counted }
}
