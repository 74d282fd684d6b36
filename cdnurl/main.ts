import { CdnUrlFields } from '../shared/contracts/cdn-url.ts'
import { runCatalogue } from '../shared/http/run-catalogue.ts'
import { createApp } from './app.ts'
import { seed } from './seed.ts'

const script = import.meta.filename
await runCatalogue({ name: 'cdnurl', port: 8083, fields: CdnUrlFields, seed, createApp, script })
