import { z } from 'zod'

/** A schema's metadata, merged with that of the inner schema that `optional()` wraps. */
export function metaOf(schema: z.ZodType) {
  const inner = schema instanceof z.ZodOptional ? schema.unwrap() : schema
  return { ...z.globalRegistry.get(inner), ...z.globalRegistry.get(schema) }
}
