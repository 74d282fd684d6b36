import { services } from '../services.ts'
import { defineCatalogueService } from '../shared/catalogue/catalogue-service.ts'
import { CdnUrlFields } from '../shared/contracts/cdn-url.ts'
import { createApp } from './app.ts'
import { seed } from './seed.ts'

export const cdnurl = defineCatalogueService({ ...services.cdnurl, fields: CdnUrlFields, seed, createApp })
