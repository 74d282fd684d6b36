import { runService } from '../shared/service/run-service.ts'
import { play } from './service.ts'

await runService(play)
