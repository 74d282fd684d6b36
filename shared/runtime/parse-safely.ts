import { z } from 'zod'

/**
 * Like `schema.safeParse`, for values of strangers. zod 4.6 compares the `length` of any object with the minimum and
 * maximum of a string or array, which throws if that is an object whose `toString` is no function.
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

/** The error of such a value. */
export const UNREADABLE = 'has an invalid length'
