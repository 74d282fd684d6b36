import { MetadataFields } from '../shared/contracts/metadata.ts'
import { runCatalogue } from '../shared/http/run-catalogue.ts'
import { createApp } from './app.ts'
import { seed } from './seed.ts'

const script = import.meta.filename
await runCatalogue({ name: 'metadata', port: 8081, fields: MetadataFields, seed, createApp, script })
