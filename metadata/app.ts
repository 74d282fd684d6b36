import { Metadata, MetadataFields } from '../shared/contracts/metadata.ts'
import { type CatalogueDeps, createCatalogueApp } from '../shared/http/catalogue-app.ts'

/** Title, genre and summary of each asset. */
export function createApp(deps: CatalogueDeps<MetadataFields>) {
  return createCatalogueApp({ path: '/content', fields: MetadataFields, entry: Metadata }, deps)
}
