import { z } from 'zod'

/**
 * A position in the event log, as it travels in JSON. `stream` identifies the incarnation of the log: a position in a
 * log that was deleted means nothing in its successor. `sequence` is that of the last message read, 0 before the first.
 */
export const Position = z
  .object({
    stream: z
      .string()
      .min(1)
      .max(256)
      .meta({ examples: ['2026-11-20T21:00:00.123456789Z'] }),
    sequence: z
      .int()
      .nonnegative()
      .meta({ examples: [42] }),
  })
  .meta({ id: 'Position', examples: [{ stream: '2026-11-20T21:00:00.123456789Z', sequence: 42 }] })
export type Position = z.infer<typeof Position>

/** A position in the event log, as the services use it. */
export type LogPosition = { incarnation: string; sequence: number }

export function toPosition({ incarnation, sequence }: LogPosition): Position {
  return { stream: incarnation, sequence }
}

export function toLogPosition({ stream, sequence }: Position): LogPosition {
  return { incarnation: stream, sequence }
}
