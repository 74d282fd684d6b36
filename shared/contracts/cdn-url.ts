import { z } from 'zod'
import { AssetId } from './ids.ts'
import { hasPlainSegments, splitRelativeUrl } from './relative-url.ts'

/** An http(s) URL, or a relative path that the player resolves against its CDN. */
const playableUrl = z
  .string()
  .min(1, { abort: true })
  .max(2_048)
  .refine(isHttpOrRelative, { error: 'must be an http(s) URL or a relative path', abort: true })
  .meta({ description: 'An http(s) URL or a relative path' })

/** An asset's stored fields: only its URL. */
export const CdnUrlFields = z.strictObject({ url: playableUrl })
export type CdnUrlFields = z.infer<typeof CdnUrlFields>

/** The body of a POST. Stricter than CdnUrlFields, which must accept every path that earlier releases stored. */
export const NewCdnUrl = CdnUrlFields.extend({
  url: playableUrl.refine((url) => isAbsolute(url) || hasPlainSegments(splitRelativeUrl(url).path), {
    error: 'must be a path without empty, "." or ".." segments, whether literal or percent-encoded',
  }),
}).meta({ id: 'CdnUrlFields', examples: [{ url: 'path/to/asset456.mp4' }] })

/** An asset's URL. */
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
  if (isAbsolute(text)) return /^https?:\/\/[^/]/i.test(text) && URL.canParse(text)
  return !text.startsWith('//') && URL.canParse(text, 'http://base.invalid/')
}

/** True if the URL has a scheme. */
export function isAbsolute(url: string): boolean {
  return /^[a-z][a-z0-9+.-]*:/i.test(url)
}
