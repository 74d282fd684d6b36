import { setFlagsFromString } from 'node:v8'
import { runService } from '../shared/service/run-service.ts'
import { play } from './service.ts'

// Let the old generation triple in size, by default 60 MB more, before V8 collects the whole heap. Each of these
// collections delays all plays of about 100 ms. V8 never exceeds --max-old-space-size.
setFlagsFromString('--heap-growing-percent=200')

await runService(play)
