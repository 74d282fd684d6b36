import { CdnUrl, CdnUrlFields } from '../shared/contracts/cdn-url.ts'
import { type CatalogueDeps, createCatalogueApp } from '../shared/http/catalogue-app.ts'

/** Where each asset plays. */
export function createApp(deps: CatalogueDeps<CdnUrlFields>) {
  return createCatalogueApp({ path: '/url', fields: CdnUrlFields, entry: CdnUrl }, deps)
}
