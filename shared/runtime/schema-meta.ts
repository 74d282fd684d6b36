import { z } from 'zod'

/** The metadata of a schema. `optional()` wraps a schema, and the metadata stays on the inner one. */
export function metaOf(schema: z.ZodType) {
  const inner = schema instanceof z.ZodOptional ? schema.unwrap() : schema
  return { ...z.globalRegistry.get(inner), ...z.globalRegistry.get(schema) }
}
