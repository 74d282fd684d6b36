import { setFlagsFromString } from 'node:v8'
import { runService } from '../shared/service/run-service.ts'
import { play } from './service.ts'

// Let the old generation triple in size before V8 collects the whole heap, because each such collection delays all plays
// in a period of about 100 ms. V8 still observes --max-old-space-size.
setFlagsFromString('--heap-growing-percent=200')

await runService(play)
