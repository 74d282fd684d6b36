import { runService } from '../shared/service/run-service.ts'
import { cdn } from './service.ts'

await runService(cdn)
