import { services } from '../services.ts'
import { defineCatalogueService } from '../shared/catalogue/catalogue-service.ts'
import { MetadataFields } from '../shared/contracts/metadata.ts'
import { createApp } from './app.ts'
import { seed } from './seed.ts'

export const metadata = defineCatalogueService({ ...services.metadata, fields: MetadataFields, seed, createApp })
