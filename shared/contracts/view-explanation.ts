import { z } from 'zod'
import { AssetId, UserId } from './ids.ts'
import { Position } from './position.ts'
import { Problem } from './status.ts'
import { View } from './view.ts'
import { WatchedSeconds } from './watch.ts'

export const ViewParams = z.object({ viewId: View.shape.id })

/**
 * `outbox`: recorded by play, but not in the log yet. `log`: in the log, but not counted yet. `counted`: counted as a
 * view. `rejected`: the event is in a dead letter.
 */
export const ViewState = z.enum(['outbox', 'log', 'counted', 'rejected'])
export type ViewState = z.infer<typeof ViewState>

/** The result of the view rules. `pending`: the view qualifies once it has been watched for long enough. */
export const Verdict = z.enum(['qualified', 'not-qualified', 'pending'])
export type Verdict = z.infer<typeof Verdict>

/** A rejected event's `reason`. */
export const DEAD_LETTER = 'dead-letter'

const EXAMPLE = {
  id: '01a1fac2-7b60-7abc-8def-0123456789ab',
  state: 'counted' as const,
  verdict: 'not-qualified' as const,
  reason: 'repeat',
  rule: 'v1',
  because: { id: '01a1fac2-4c80-7abc-8def-0123456789ab', at: '2026-11-20T21:00:00.000Z' },
  assetId: '456',
  userId: '8',
  at: '2026-11-20T21:00:12.000Z',
  position: { stream: '2026-11-20T20:00:00.123456789Z', sequence: 42 },
}

/** What became of one recorded play, and why. */
export const ViewExplanation = z
  .object({
    id: View.shape.id,
    state: ViewState,
    verdict: Verdict.nullable().meta({ description: 'null until the view is counted' }),
    reason: z.string().nullable().meta({
      description:
        'The view rule that disqualifies the view or keeps it pending; for a rejected event, why it was rejected; otherwise null',
    }),
    rule: z.string().nullable().meta({ description: 'The version of the view rules; null until the view is counted' }),
    because: z
      .object({ id: View.shape.id, at: View.shape.at })
      .nullable()
      .meta({ description: 'The earlier event that determined the outcome; null if there is none' }),
    assetId: AssetId.nullable(),
    userId: UserId.nullable(),
    at: View.shape.at.nullable(),
    position: Position.nullable().meta({
      description: "The event's position in the log; null if it is unknown, or while the event is in an outbox",
    }),
    secondsWatched: WatchedSeconds.nullable().optional().meta({
      description: 'The longest reported watch time; null if none was reported. Absent if the rules do not use it',
    }),
    secondsRequired: z
      .number()
      .optional()
      .meta({ description: 'The watch time that the view needs to qualify; absent if the rules require none' }),
  })
  .meta({ id: 'ViewExplanation', examples: [EXAMPLE] })
export type ViewExplanation = z.infer<typeof ViewExplanation>

/** A ViewExplanation with a human-readable summary. */
export const ExplainedView = ViewExplanation.extend({
  summary: z.string().meta({ description: 'The explanation in one sentence' }),
}).meta({
  id: 'ExplainedView',
  examples: [
    {
      ...EXAMPLE,
      summary: `Not qualified: the same user played the same asset 12 s before, event ${EXAMPLE.because.id}.`,
    },
  ],
})
export type ExplainedView = z.infer<typeof ExplainedView>

export const ViewNotFound = z
  .object({
    status: z.literal('View not found'),
    position: Position.nullable().meta({ description: 'The log position that the counts reflect' }),
    knownSince: z.iso
      .datetime({ offset: true })
      .nullable()
      .meta({ description: 'When the log stored the oldest view whose verdict is kept (RFC 3339)' }),
    requestId: Problem.shape.requestId,
  })
  .meta({
    id: 'ViewNotFound',
    examples: [
      {
        status: 'View not found',
        position: EXAMPLE.position,
        knownSince: '2026-11-20T20:00:00.000Z',
        requestId: '0f4d2c8e-5a39-4b1e-9c57-1d3f6a7b8c90',
      },
    ],
  })
export type ViewNotFound = z.infer<typeof ViewNotFound>
