import { z } from 'zod'
import { AssetId } from './ids.ts'
import { Rights } from './rights.ts'
import { Duration } from './watch.ts'

/** An asset's stored metadata; also the body of a POST. */
export const MetadataFields = z
  .strictObject({
    title: z.string().min(1).max(300),
    genre: z.string().min(1).max(300),
    summary: z.string().max(5_000),
    rights: Rights.optional(),
    duration: Duration.optional(),
  })
  .meta({
    id: 'MetadataFields',
    examples: [{ title: 'Terminator', genre: 'action', summary: 'Summary for terminator' }],
  })
export type MetadataFields = z.infer<typeof MetadataFields>

/** An asset's metadata. */
export const Metadata = z.object({ id: AssetId, ...MetadataFields.shape }).meta({
  id: 'Metadata',
  examples: [{ id: '456', title: 'Terminator', genre: 'action', summary: 'Summary for terminator' }],
})
export type Metadata = z.infer<typeof Metadata>
