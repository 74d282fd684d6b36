import { z } from 'zod'
import { AssetId, UserId } from './ids.ts'
import { Duration, WatchedSeconds } from './watch.ts'

/** Maximum number of views and reports in one message in the log, and in one `POST /events`. */
export const MAX_VIEWS_PER_BATCH = 10_000

/** An event's number among its producer's events, starting at 1. */
export const Serial = z.int().positive()

/**
 * An earlier producer of the same program, which has restarted or been offline since, and the last of that producer's
 * serials that the log acknowledged.
 */
export const Predecessor = z.strictObject({ producer: z.string().min(1).max(4_096), serial: Serial })
export type Predecessor = z.infer<typeof Predecessor>

/** How long an idempotency key is valid, in event time. */
export const KEY_MAX_AGE_MS = 24 * 3_600_000

const FIRST_MS = Date.parse('0000-01-01T00:00:00.000Z')
const LAST_MS = Date.parse('9999-12-31T23:59:59.999Z')

/** Returns false if the offset moves the UTC time to a year that RFC 3339 cannot express; true for an invalid time. */
function isInExpressibleYear(time: string): boolean {
  // An offset can move only times on these two days out of the range. Parsing all other times would take too long.
  if (!time.startsWith('0000-01-01') && !time.startsWith('9999-12-31')) return true
  const ms = Date.parse(time)
  return !(ms < FIRST_MS || ms > LAST_MS)
}

/** A recorded play. */
export const View = z
  .strictObject({
    id: z
      .string()
      .min(1)
      .max(256)
      .meta({ description: 'Unique id of this view', examples: ['Q1WAZ5Y7C8N3S9B2K4X6E0'] }),
    assetId: AssetId,
    userId: UserId,
    at: z.iso
      .datetime({ offset: true })
      .refine(isInExpressibleYear, { error: 'must be in the years 0000 to 9999 in UTC' })
      .meta({
        description: 'Time of the play (RFC 3339), in the years 0000 to 9999 in UTC',
        examples: ['2026-11-20T21:00:00.000Z'],
      }),
    producer: z.string().min(1).optional().meta({
      description:
        'The producer; for a view without a serial, the CloudEvents `source`. Views without this field are not deduplicated',
    }),
    serial: Serial.optional().meta({
      description: "Number of this view among its producer's views, starting at 1",
    }),
    predecessor: Predecessor.optional().meta({
      description: 'An earlier producer of the same program, and its last acknowledged serial',
    }),
    keyed: z.literal(true).optional().meta({
      description: 'True if the id is derived from an idempotency key: other events with this id are retries',
    }),
    duration: Duration.optional(),
  })
  .meta({ id: 'View' })
export type View = z.infer<typeof View>

/** A report of how long a view was watched, as read from the log. */
export const WatchedView = z
  .strictObject({
    viewId: View.shape.id,
    assetId: AssetId,
    userId: UserId,
    seconds: WatchedSeconds,
    sequence: z.int().positive().meta({ description: 'The sequence of the message that contains the report' }),
    index: z.int().nonnegative().meta({ description: 'How many views in the same message precede the report' }),
    producer: View.shape.producer,
    serial: View.shape.serial,
    predecessor: View.shape.predecessor,
  })
  .meta({ id: 'WatchedView' })
export type WatchedView = z.infer<typeof WatchedView>
