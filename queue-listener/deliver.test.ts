import { expect, test } from 'vitest'
import { emptyBatch } from '../shared/event-log/batch-builder.ts'
import type { LogBatch } from '../shared/event-log/event-log.ts'
import { deliver } from './deliver.ts'

const never = new AbortController().signal

test('a message that reporting refuses uses up the serials of its views and of its reports', async () => {
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
  const counted: LogBatch[] = []
  await deliver(
    {
      eventLog: { reject: async () => {} },
      reporting: {
        async count(sent) {
          if (sent.after > 0) return { outcome: 'conflict', position: undefined }
          if (sent.messages.length > 0) return { outcome: 'invalid', reason: 'a test says so' }
          counted.push(sent)
          return { outcome: 'counted' }
        },
      },
      onForwarded() {},
      unsettled: [],
    },
    batch,
    never,
  )
  expect(counted).toMatchObject([
    { views: [], watched: [], rejected: [{ producer: 'p', from: 1, to: 3, sequence: 1 }], deadLetters: 1 },
  ])
})
