import { type CatalogueDeps, createCatalogueApp } from '../shared/catalogue/catalogue-app.ts'
import { CdnUrl, type CdnUrlFields, NewCdnUrl } from '../shared/contracts/cdn-url.ts'

/** Serves each asset's playback URL. */
export function createApp(deps: CatalogueDeps<CdnUrlFields>) {
  return createCatalogueApp({ path: '/url', fields: NewCdnUrl, entry: CdnUrl }, deps)
}
