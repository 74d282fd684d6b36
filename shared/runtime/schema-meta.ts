import { z } from 'zod'

/** The metadata of a schema, merged with the metadata of the inner schema that `optional()` wraps. */
export function metaOf(schema: z.ZodType) {
  const inner = schema instanceof z.ZodOptional ? schema.unwrap() : schema
  return { ...z.globalRegistry.get(inner), ...z.globalRegistry.get(schema) }
}
