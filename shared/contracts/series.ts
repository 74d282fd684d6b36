import { z } from 'zod'
import { AssetId } from './ids.ts'

/** Maximum number of points in one response. */
export const MAX_POINTS = 3_000

/** The steps are aligned to UTC. */
export const SeriesStep = z.enum(['minute', 'hour', 'day'])
export type SeriesStep = z.infer<typeof SeriesStep>

const views = z.int().nonnegative()
const time = z.iso.datetime({ offset: true })

/** `GET /events/series`: a point for each step that starts in the half-open interval [from, to). */
export const SeriesQuery = z
  .object({
    assetId: AssetId.optional().meta({ description: 'Default: the total of all assets' }),
    step: SeriesStep.default('hour'),
    from: time.optional().meta({
      description: 'Default: 60 minutes, 48 hours or 30 days before `to`, depending on `step`',
      examples: ['2026-11-20T21:00:00Z'],
    }),
    to: time.optional().meta({ description: 'Exclusive; default: now', examples: ['2026-11-20T23:00:00Z'] }),
  })
  .refine(({ assetId, step }) => assetId === undefined || step !== 'minute', {
    path: ['step'],
    error: 'must be hour or day if assetId is set, because views per minute are kept only for the total of all assets',
  })
export type SeriesQuery = z.infer<typeof SeriesQuery>

/** The counts for the plays in one step, which starts at `at` (RFC 3339). */
export const SeriesPoint = z.object({
  at: time,
  views,
  qualified: views,
  secondsWatched: z
    .number()
    .nonnegative()
    .optional()
    .meta({ description: 'Total watch time of these views; absent if the view rules do not use it' }),
})
export type SeriesPoint = z.infer<typeof SeriesPoint>

/**
 * The points are in chronological order. The current step's counts may still rise, and late events can raise the counts
 * in earlier steps.
 */
export const Series = z
  .object({
    step: SeriesStep,
    since: time.nullable().meta({
      description:
        'The start of the oldest retained step, before which all points are 0; null if all steps are retained',
    }),
    points: z.array(SeriesPoint).max(MAX_POINTS),
  })
  .meta({
    id: 'Series',
    examples: [
      {
        step: 'hour',
        since: '2026-10-16T21:00:00.000Z',
        points: [
          { at: '2026-11-20T21:00:00.000Z', views: 3, qualified: 2 },
          { at: '2026-11-20T22:00:00.000Z', views: 0, qualified: 0 },
        ],
      },
    ],
  })
export type Series = z.infer<typeof Series>
