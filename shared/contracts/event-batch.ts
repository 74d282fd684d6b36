import { z } from 'zod'
import { Position } from './position.ts'
import { MAX_VIEWS_PER_BATCH, Serial, View, WatchedView } from './view.ts'

/** Consecutive serials from one producer, both ends inclusive. */
export const SerialRange = z.object({ producer: z.string().min(1), from: Serial, to: Serial }).meta({
  id: 'SerialRange',
  examples: [{ producer: 'Q1WAZ5Y7C8N3S9B2K4X6E0', from: 43, to: 44 }],
})
export type SerialRange = z.infer<typeof SerialRange>

/** Serials in a message that is not counted, and the message's sequence. */
export const RejectedRange = SerialRange.extend({ sequence: z.int().positive().optional() })
export type RejectedRange = z.infer<typeof RejectedRange>

/** A message that is not counted: its sequence, and the readable ids of its events. */
export const SkippedMessage = z.object({
  sequence: z.int().positive(),
  ids: z.array(View.shape.id).max(MAX_VIEWS_PER_BATCH),
})
export type SkippedMessage = z.infer<typeof SkippedMessage>

/**
 * A message in the log: its sequence, its number of views, and when the log stored it (RFC 3339). `views` is 0 if the
 * message contains only watch-time reports.
 */
export const LogMessage = z.object({
  sequence: z.int().positive(),
  views: z.int().nonnegative(),
  at: z.iso.datetime({ offset: true }),
})
export type LogMessage = z.infer<typeof LogMessage>

/**
 * `POST /events`: the views in the log between the sequences `after` (exclusive) and `through` (inclusive). If
 * `through` equals `after` and there are no views, the body only reports the end of the log.
 */
export const EventBatch = z
  .strictObject({
    stream: Position.shape.stream,
    after: z.int().nonnegative(),
    through: z.int().nonnegative(),
    views: z.array(View).max(MAX_VIEWS_PER_BATCH),
    first: z
      .int()
      .nonnegative()
      .optional()
      .meta({ description: 'The sequence of the oldest message that the log retains' }),
    leaving: Position.optional().meta({
      description:
        'The current position, in the previous incarnation of the log. Required if the batch starts a new incarnation',
    }),
    rejected: z
      .array(RejectedRange)
      .max(MAX_VIEWS_PER_BATCH)
      .optional()
      .meta({ description: 'Serials of views in dead letters. These views are not counted, but they are not lost' }),
    skipped: z
      .array(SkippedMessage)
      .max(MAX_VIEWS_PER_BATCH)
      .optional()
      .meta({ description: 'The dead letters in the range, including those that were replayed or deleted' }),
    messages: z.array(LogMessage).max(MAX_VIEWS_PER_BATCH).optional().meta({
      description: 'The messages that the views came from, in order; omitted by a queue-listener of a previous release',
    }),
    watched: z.array(WatchedView).max(MAX_VIEWS_PER_BATCH).optional().meta({
      description: 'The watch-time reports in the range, in log order; requires `messages`',
    }),
    end: z.int().nonnegative().optional().meta({ description: 'Sequence of the last message in the log' }),
    oldest: z.iso
      .datetime({ offset: true })
      .optional()
      .meta({ description: 'When the log stored the oldest message that is not counted yet (RFC 3339)' }),
  })
  .refine((batch) => batch.through > batch.after || isReport(batch), {
    path: ['through'],
    error: 'must be greater than after',
  })
  .refine(({ messages, views }) => !messages || sumOf(messages) === views.length, {
    path: ['messages'],
    error: 'must contain as many views as the batch',
  })
  .refine(({ messages = [], watched = [] }) => areIn(messages, watched), {
    path: ['watched'],
    error: 'must be in log order, each with the sequence of one of the messages',
  })
  .meta({
    id: 'EventBatch',
    description:
      '`through` is greater than `after`, except in a batch that only reports the end of the log: it has `end`, no views, and `through` equal to `after`',
    examples: [
      {
        stream: '2026-11-20T21:00:00.123456789Z',
        after: 0,
        through: 1,
        views: [{ id: 'Q1WAZ5Y7C8N3S9B2K4X6E0', assetId: '456', userId: '8', at: '2026-11-20T21:00:00.000Z' }],
      },
    ],
  })
export type EventBatch = z.infer<typeof EventBatch>

function sumOf(messages: readonly LogMessage[]): number {
  return messages.reduce((sum, { views }) => sum + views, 0)
}

/** Returns true if each watch-time report belongs to one of the messages, and the reports are in log order. */
function areIn(messages: readonly LogMessage[], watched: readonly WatchedView[]): boolean {
  let next = 0
  for (const { sequence } of messages) {
    let index = 0
    for (let report = watched[next]; report?.sequence === sequence; report = watched[next]) {
      if (report.index < index) return false
      index = report.index
      next += 1
    }
  }
  return next === watched.length
}

type Range = { after: number; through: number; views: readonly View[]; end?: number | undefined }

/** Returns true if a batch only reports the end of the log. */
export function isReport({ after, through, views, end }: Range): boolean {
  return through === after && views.length === 0 && end !== undefined
}

/** The 409 response to a batch that does not start at the current position. */
export const PositionConflict = z
  .object({
    status: z.literal('Position mismatch'),
    position: Position.nullable(),
    requestId: z.string(),
  })
  .meta({
    id: 'PositionConflict',
    examples: [
      {
        status: 'Position mismatch',
        position: { stream: '2026-11-20T21:00:00.123456789Z', sequence: 42 },
        requestId: '0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90',
      },
    ],
  })
export type PositionConflict = z.infer<typeof PositionConflict>
