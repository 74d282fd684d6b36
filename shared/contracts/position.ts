import { z } from 'zod'

/**
 * A position in the event log, as JSON represents it. `stream` identifies the log's incarnation, because positions are
 * meaningless after the log is recreated. `sequence` is the sequence of the last message read, or 0 before the first
 * message.
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

/** A position in the event log, as the code represents it. */
export type LogPosition = { incarnation: string; sequence: number }

export function toPosition({ incarnation, sequence }: LogPosition): Position {
  return { stream: incarnation, sequence }
}

/** Converts a position for a response; null if there is none. */
export function toNullablePosition(position: LogPosition | undefined): Position | null {
  return position ? toPosition(position) : null
}

export function fromNullablePosition(position: Position | null): LogPosition | undefined {
  return position ? toLogPosition(position) : undefined
}

export function toLogPosition({ stream, sequence }: Position): LogPosition {
  return { incarnation: stream, sequence }
}

export function isSamePosition(a: LogPosition | undefined, b: LogPosition | undefined): boolean {
  return a?.incarnation === b?.incarnation && a?.sequence === b?.sequence
}

/** The sequence up to which a reader at `position` has read this incarnation of the log. */
export function sequenceIn(incarnation: string, position: LogPosition | undefined): number {
  return position?.incarnation === incarnation ? position.sequence : 0
}
