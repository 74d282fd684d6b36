import { runService } from '../shared/service/run-service.ts'
import { queueListener } from './service.ts'

await runService(queueListener)
