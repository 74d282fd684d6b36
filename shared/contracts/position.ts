import { z } from 'zod'

/**
 * A place in the event log. `stream` names the log's incarnation, so that the position in a log that was wiped is not
 * taken for one in its successor; `sequence` is that of the last message read, 0 before the first.
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
