import { runService } from '../shared/service/run-service.ts'
import { reporting } from './service.ts'

await runService(reporting)
