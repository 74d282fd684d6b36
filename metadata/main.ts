import { runService } from '../shared/service/run-service.ts'
import { metadata } from './service.ts'

await runService(metadata)
