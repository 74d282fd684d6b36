import { type CatalogueDeps, createCatalogueApp } from '../shared/catalogue/catalogue-app.ts'
import { Metadata, MetadataFields } from '../shared/contracts/metadata.ts'

/** Serves the title, genre and summary of each asset. */
export function createApp(deps: CatalogueDeps<MetadataFields>) {
  return createCatalogueApp({ path: '/content', fields: MetadataFields, entry: Metadata }, deps)
}
