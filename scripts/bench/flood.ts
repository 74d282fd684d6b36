import { playSteadily } from './steady.ts'

/** Sends plays at a steady rate as a single client: `node scripts/bench/flood.ts URL PER_SECOND SECONDS`. */
const [, , url = '', perSecond, seconds] = process.argv
await playSteadily(url, { perSecond: Number(perSecond), seconds: Number(seconds), clientOf: () => '198.51.100.1' })
