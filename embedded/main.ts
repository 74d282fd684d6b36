import { runService } from '../shared/service/run-service.ts'
import { embedded } from './service.ts'

await runService(embedded)
