import { playSteadily } from './steady.ts'

/** Plays at a steady rate as one client: `node scripts/bench/flood.ts URL PER_SECOND SECONDS`. */
const [, , url = '', perSecond, seconds] = process.argv
await playSteadily(url, { perSecond: Number(perSecond), seconds: Number(seconds), clientOf: () => '198.51.100.1' })
