import { z } from 'zod'
import { Position } from './position.ts'

const views = z.int().nonnegative()

/**
 * Accounts for every view, in one snapshot:
 * `views = qualified + pending + the sum of notQualified + direct`.
 */
export const Audit = z
  .object({
    views: views.meta({ description: 'Plays that returned 200, each counted once' }),
    qualified: views.meta({ description: 'Views that pass the view rules' }),
    // A store may compute this by subtracting other counts from `views`, so inconsistent counts can make it negative.
    pending: z.int().meta({
      description:
        'Views that have not been watched for long enough yet, and views counted by a release without view rules. A negative number means that the counts are inconsistent',
    }),
    notQualified: z.record(z.string(), views).meta({ description: 'Views that are not qualified, by reason' }),
    direct: views.meta({ description: 'Views that were counted by a direct request instead of through the log' }),
    retried: views.meta({
      description: 'Events that repeat the id of a view because of an idempotent retry; they are not views',
    }),
    rejected: views.meta({
      description: 'Events in dead letters, and events that reuse an idempotency key; they are not views',
    }),
    position: Position.nullable().meta({ description: 'The log position that the counts reflect' }),
    waiting: views.nullable().meta({ description: 'Messages in the log that are not counted yet; null if unknown' }),
  })
  .meta({
    id: 'Audit',
    examples: [
      {
        views: 10,
        qualified: 7,
        pending: 0,
        notQualified: { repeat: 2 },
        direct: 1,
        retried: 1,
        rejected: 0,
        position: { stream: '2026-11-20T21:00:00.123456789Z', sequence: 42 },
        waiting: 0,
      },
    ],
  })
export type Audit = z.infer<typeof Audit>

/** The number of views that the audit accounts for. It equals `views` unless a view was lost or counted twice. */
export function accountedViews({
  qualified,
  pending,
  notQualified,
  direct,
}: Omit<Audit, 'position' | 'waiting'>): number {
  return Object.values(notQualified).reduce((sum, views) => sum + views, qualified + pending + direct)
}
