import { z } from 'zod'

/**
 * Like `schema.safeParse`, for untrusted values. zod 4.6 compares the `length` of any object with the minimum and
 * maximum length of a string or array. The comparison throws if `length` is an object whose `toString` is not a
 * function.
 */
export function parseSafely<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): z.ZodSafeParseResult<z.output<Schema>> {
  try {
    return schema.safeParse(value)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return z.custom<z.output<Schema>>(() => false, UNREADABLE).safeParse(undefined)
  }
}

/** The error for a value whose `length` cannot be compared. */
export const UNREADABLE = 'has an invalid length'
