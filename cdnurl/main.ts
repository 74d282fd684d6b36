import { runService } from '../shared/service/run-service.ts'
import { cdnurl } from './service.ts'

await runService(cdnurl)
