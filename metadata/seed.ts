import type { MetadataFields } from '../shared/contracts/metadata.ts'

/** The initial assets of a new installation. */
export const seed: [id: string, fields: MetadataFields][] = [
  ['123', { title: 'It', genre: 'horror', summary: 'A very scary movie' }],
  ['456', { title: 'Terminator', genre: 'action', summary: 'Summary for terminator' }],
]
