import { CdnUrl } from '../../shared/contracts/cdn-url.ts'
import { type SigningSettings, signerOf } from './settings.ts'
import { createSignedUrls } from './signed-urls.ts'

/**
 * Returns the schema of the playback URLs that play caches. If signing is configured, `url` is a getter that returns a
 * signed URL. It signs the URL again when the signature is due for renewal.
 * @param max maximum number of signed URLs to remember
 * @throws UsageError
 */
export async function playerCdnUrl(settings: SigningSettings, max: number) {
  const signer = await signerOf(settings)
  if (!signer) return CdnUrl
  const { CDN_PATHS: prefixes, CDN_URL_TTL: ttlMs } = settings
  const toPlayerUrl = createSignedUrls({ signer, prefixes, ttlMs, max })
  return CdnUrl.transform(({ id, url }): CdnUrl => {
    const current = toPlayerUrl(url)
    return {
      id,
      get url() {
        return current()
      },
    }
  })
}
