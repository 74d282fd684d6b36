import { z } from 'zod'
import { AssetId } from './ids.ts'

/** An http(s) URL, or a relative path that the player resolves against its CDN. */
const playableUrl = z
  .string()
  .min(1)
  .max(2_048)
  .refine(isHttpOrRelative, { error: 'must be an http(s) URL or a relative path' })
  .meta({ description: 'An http(s) URL or a relative path' })

/** The stored fields of an asset's URL; also the body of a POST. */
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
 * A relative path must not leave the CDN's host: `//host/x` names another host, and browsers treat `\` as `/`.
 * Whitespace and control characters are rejected because URL parsers drop some of them.
 */
function isHttpOrRelative(text: string): boolean {
  if (/[\s\p{Cc}\\]/u.test(text)) return false
  if (/^[a-z][a-z0-9+.-]*:/i.test(text)) return /^https?:\/\/[^/]/i.test(text) && URL.canParse(text)
  return !text.startsWith('//') && URL.canParse(text, 'http://base.invalid/')
}
