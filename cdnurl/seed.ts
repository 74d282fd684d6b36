import type { CdnUrlFields } from '../shared/contracts/cdn-url.ts'

/** The initial assets of a new installation. */
export const seed: [id: string, fields: CdnUrlFields][] = [
  ['123', { url: 'path/to/asset123.mp4' }],
  ['456', { url: 'path/to/asset456.mp4' }],
]
