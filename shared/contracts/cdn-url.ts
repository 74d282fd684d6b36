import { z } from 'zod'
import { AssetId } from './ids.ts'

/** An http(s) URL, or a relative path that the player resolves against its CDN. */
const playableUrl = z
  .string()
  .min(1)
  .max(2_048)
  .refine(isHttpOrRelative, { error: 'must be an http(s) URL or a relative path' })
  .meta({ description: 'An http(s) URL or a relative path' })

/** What is stored of an asset's URL; the body of a POST. */
export const CdnUrlFields = z
  .strictObject({ url: playableUrl })
  .meta({ id: 'CdnUrlFields', examples: [{ url: 'path/to/asset456.mp4' }] })
export type CdnUrlFields = z.infer<typeof CdnUrlFields>

/** The URL of an asset. */
export const CdnUrl = z
  .object({ id: AssetId, ...CdnUrlFields.shape })
  .meta({ id: 'CdnUrl', examples: [{ id: '456', url: 'path/to/asset456.mp4' }] })
export type CdnUrl = z.infer<typeof CdnUrl>

/**
 * A relative path must stay on the player's host: `//host/x` names another one, and browsers read `\` as `/`. Parsers
 * drop some white space and control characters, so those are rejected.
 */
function isHttpOrRelative(text: string): boolean {
  if (/[\s\p{Cc}\\]/u.test(text)) return false
  if (/^[a-z][a-z0-9+.-]*:/i.test(text)) return /^https?:\/\/[^/]/i.test(text) && URL.canParse(text)
  return !text.startsWith('//') && URL.canParse(text, 'http://base.invalid/')
}
